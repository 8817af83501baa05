#include "base/byte_input.hpp"

#include "base/check.hpp"

#include <zstd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>
#include <vector>
#include <zlib.h>

namespace headrace {
namespace {

constexpr std::size_t chunk_bytes =
    1U << 17;  // zstd's own input chunk is 128 KiB; fewer system calls than 4 KiB
constexpr std::size_t magic_bytes = 4;

// A file descriptor with a window of bytes that are read but not yet consumed.
class raw_file {
 public:
  raw_file(int descriptor, std::string name, bool owned)
      : descriptor_(descriptor), name_(std::move(name)), owned_(owned), window_(chunk_bytes) {}
  ~raw_file() {
    if (owned_) ::close(descriptor_);
  }
  raw_file(const raw_file&) = delete;
  raw_file& operator=(const raw_file&) = delete;

  std::span<const char> available() const { return {window_.data() + from_, to_ - from_}; }
  void consume(std::size_t bytes) {
    CHECK(bytes <= to_ - from_);
    from_ += bytes;
    position_ += bytes;
  }
  /// Reads until `wanted` bytes are available or the file ends.
  result<void> fill(std::size_t wanted) {
    while (to_ - from_ < wanted) {
      std::memmove(window_.data(), window_.data() + from_, to_ - from_);
      to_ -= from_;
      from_ = 0;
      const auto got = ::read(descriptor_, window_.data() + to_, window_.size() - to_);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0)
        return error{errc::io_error, "cannot read '" + name_ + "': " + std::strerror(errno)};
      if (got == 0) break;
      to_ += static_cast<std::size_t>(got);
    }
    return {};
  }
  error damaged(const std::string& what) const {
    return {errc::bad_input,
            "'" + name_ + "' at byte " + std::to_string(position_) + " of the file: " + what +
                "; get the file again"};
  }

 private:
  int descriptor_;
  std::string name_;
  bool owned_;
  std::vector<char> window_;
  std::size_t from_ = 0;
  std::size_t to_ = 0;
  std::uint64_t position_ = 0;
};

class plain_input final : public byte_input {
 public:
  explicit plain_input(std::unique_ptr<raw_file> file) : file_(std::move(file)) {}

  result<std::size_t> read(std::span<char> into) override {
    CHECK(!into.empty());
    if (const auto filled = file_->fill(1); !filled) return filled.error();
    const auto have = file_->available();
    const std::size_t count = std::min(have.size(), into.size());
    std::copy_n(have.data(), count, into.data());
    file_->consume(count);
    return count;
  }

 private:
  std::unique_ptr<raw_file> file_;
};

// What gzip and zstd share: feed the window to the decoder until it gives bytes, and tell a clean
// end from a torn one.
class compressed_input : public byte_input {
 public:
  explicit compressed_input(std::unique_ptr<raw_file> file) : file_(std::move(file)) {}

  result<std::size_t> read(std::span<char> into) final {
    CHECK(!into.empty());
    if (failure_) return *failure_;
    auto got = decode(into);
    if (!got) failure_ = got.error();
    return got;
  }

 protected:
  struct step {
    std::size_t consumed = 0;
    std::size_t produced = 0;
    bool frame_ended = false;
    const char* damage = nullptr;  // what the decoder says of damaged bytes
  };
  virtual step decode_some(std::span<const char> from, std::span<char> into) = 0;

 private:
  result<std::size_t> decode(std::span<char> into) {
    for (;;) {
      // The decoder may still hold output when the window is empty, so it is asked once more at the
      // end.
      if (const auto filled = file_->fill(1); !filled) return filled.error();
      const auto window = file_->available();
      if (window.empty() && !inside_frame_) return std::size_t{0};
      const step done = decode_some(window, into);
      if (done.damage != nullptr)
        return file_->damaged(std::string("damaged compressed data: ") + done.damage);
      file_->consume(done.consumed);
      inside_frame_ = !done.frame_ended;
      if (done.produced > 0) return done.produced;
      if (window.empty() && !done.frame_ended)
        return file_->damaged("the compressed data ends too early");
    }
  }

  std::unique_ptr<raw_file> file_;
  bool inside_frame_ = false;
  std::optional<error> failure_;
};

class gzip_input final : public compressed_input {
 public:
  explicit gzip_input(std::unique_ptr<raw_file> file) : compressed_input(std::move(file)) {
    CHECK(inflateInit2(&stream_, 15 + 16) ==
          Z_OK);  // 15: largest window; 16: gzip header and checksum
  }
  ~gzip_input() override { inflateEnd(&stream_); }

 private:
  step decode_some(std::span<const char> from, std::span<char> into) override {
    if (ended_) {
      CHECK(inflateReset(&stream_) == Z_OK);
      ended_ = false;
    }
    const auto in_size = static_cast<uInt>(from.size());
    const auto out_size = static_cast<uInt>(std::min<std::size_t>(into.size(), UINT32_MAX));
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(from.data()));
    stream_.avail_in = in_size;
    stream_.next_out = reinterpret_cast<Bytef*>(into.data());
    stream_.avail_out = out_size;
    const int status = inflate(&stream_, Z_NO_FLUSH);
    step done{
        in_size - stream_.avail_in, out_size - stream_.avail_out, status == Z_STREAM_END, nullptr};
    ended_ = done.frame_ended;
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) {
      done.damage = stream_.msg != nullptr ? stream_.msg : "not gzip";
    }
    return done;
  }

  z_stream stream_{};
  bool ended_ = false;
};

class zstd_input final : public compressed_input {
 public:
  explicit zstd_input(std::unique_ptr<raw_file> file)
      : compressed_input(std::move(file)), stream_(ZSTD_createDCtx()) {
    CHECK(stream_ != nullptr);
  }
  ~zstd_input() override { ZSTD_freeDCtx(stream_); }

 private:
  step decode_some(std::span<const char> from, std::span<char> into) override {
    ZSTD_inBuffer in{from.data(), from.size(), 0};
    ZSTD_outBuffer out{into.data(), into.size(), 0};
    const std::size_t status = ZSTD_decompressStream(stream_, &out, &in);
    step done{in.pos, out.pos, status == 0, nullptr};
    if (ZSTD_isError(status) != 0) done.damage = ZSTD_getErrorName(status);
    return done;
  }

  ZSTD_DCtx* stream_;
};

bool is_gzip(std::span<const char> front) {
  return front.size() >= 2 && front[0] == '\x1F' && front[1] == '\x8B';
}

// A zstd frame, or the skippable frame that some writers put first (RFC 8878, 3.1.1 and 3.1.2).
bool is_zstd(std::span<const char> front) {
  if (front.size() < magic_bytes) return false;
  std::uint32_t magic = 0;
  for (std::size_t i = magic_bytes; i-- > 0;)
    magic = (magic << 8) | static_cast<unsigned char>(front[i]);
  return magic == 0xFD2FB528U || (magic & 0xFFFFFFF0U) == 0x184D2A50U;
}

result<std::unique_ptr<raw_file>> open_raw(const std::string& path) {
  if (path == "-") return std::make_unique<raw_file>(STDIN_FILENO, "standard input", false);
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    const errc code = errno == ENOENT || errno == ENOTDIR ? errc::not_found : errc::io_error;
    return error{code, "cannot open '" + path + "': " + std::strerror(errno)};
  }
  auto file = std::make_unique<raw_file>(descriptor, path, true);
  struct stat about {};
  if (::fstat(descriptor, &about) == 0 && S_ISDIR(about.st_mode)) {
    return error{errc::bad_input, "'" + path + "' is a folder, not a file"};
  }
  return file;
}

}  // namespace

result<std::unique_ptr<byte_input>> byte_input::open(const std::string& path) {
  auto opened = open_raw(path);
  if (!opened) return opened.error();
  auto file = std::move(*opened);
  if (const auto filled = file->fill(magic_bytes); !filled) return filled.error();
  const auto front = file->available();
  if (is_gzip(front))
    return std::unique_ptr<byte_input>(std::make_unique<gzip_input>(std::move(file)));
  if (is_zstd(front))
    return std::unique_ptr<byte_input>(std::make_unique<zstd_input>(std::move(file)));
  return std::unique_ptr<byte_input>(std::make_unique<plain_input>(std::move(file)));
}

}  // namespace headrace
