#include "base/inflate.hpp"

#include "base/check.hpp"

#include <zstd.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <zlib.h>

namespace headrace {
namespace {

constexpr std::size_t first_bytes = std::size_t{64} * 1024;
constexpr std::size_t growth_guess = 4;  // JSON packs to a quarter, or less
constexpr int zstd_window_log_max = 23;  // 8 MiB, what RFC 8878 asks every reader to support

error damaged(const char* what) {
  return {errc::malformed, std::string("damaged compressed data: ") + what};
}
error ends_early() { return {errc::malformed, "the compressed data ends too early"}; }
error too_large(std::size_t bytes_max) {
  return {errc::too_large, "unpacked it is larger than " + std::to_string(bytes_max) + " bytes"};
}

/// Where unpacked bytes go: one byte more than allowed shows that there are too many.
class bounded_text {
 public:
  bounded_text(std::size_t packed, std::size_t bytes_max) : bytes_max_(bytes_max) {
    text_.resize(std::min(std::max(first_bytes, growth_guess * packed), bytes_max) + 1);
  }
  char* at() { return text_.data() + used_; }
  std::size_t room() const { return text_.size() - used_; }
  void add(std::size_t bytes) { used_ += bytes; }
  bool is_over() const { return used_ > bytes_max_; }
  /// Makes room where there is none.
  void grow() {
    if (room() == 0) text_.resize(std::min(2 * text_.size(), bytes_max_ + 1));
  }
  std::string take() {
    text_.resize(used_);
    return std::move(text_);
  }

 private:
  std::size_t bytes_max_;
  std::string text_;
  std::size_t used_ = 0;
};

struct gzip_stream {
  gzip_stream() { CHECK(inflateInit2(&state, 15 + 16) == Z_OK); }  // 16: gzip header and checksum
  ~gzip_stream() { inflateEnd(&state); }
  z_stream state{};
};

result<std::string> inflate_gzip(std::string_view bytes, std::size_t bytes_max) {
  gzip_stream stream;
  bounded_text out(bytes.size(), bytes_max);
  bool ended = false;  // a member's checksum was right
  stream.state.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  std::size_t left = bytes.size();
  while (left > 0 || !ended) {
    if (ended) CHECK(inflateReset(&stream.state) == Z_OK);
    const auto in = static_cast<uInt>(std::min<std::size_t>(left, UINT32_MAX));
    const auto room = static_cast<uInt>(std::min<std::size_t>(out.room(), UINT32_MAX));
    stream.state.avail_in = in;
    stream.state.next_out = reinterpret_cast<Bytef*>(out.at());
    stream.state.avail_out = room;
    const int status = ::inflate(&stream.state, Z_NO_FLUSH);
    const std::size_t taken = in - stream.state.avail_in;
    const std::size_t given = room - stream.state.avail_out;
    left -= taken;
    out.add(given);
    ended = status == Z_STREAM_END;
    if (out.is_over()) return too_large(bytes_max);
    if (status != Z_OK && !ended && status != Z_BUF_ERROR) {
      return damaged(stream.state.msg != nullptr ? stream.state.msg : "not gzip");
    }
    if (taken == 0 && given == 0 && !ended && out.room() > 0) return ends_early();
    out.grow();
  }
  return out.take();
}

struct zstd_stream {
  zstd_stream() : state(ZSTD_createDCtx()) { CHECK(state != nullptr); }
  ~zstd_stream() { ZSTD_freeDCtx(state); }
  zstd_stream(const zstd_stream&) = delete;
  zstd_stream& operator=(const zstd_stream&) = delete;
  ZSTD_DCtx* state;
};

result<std::string> inflate_zstd(std::string_view bytes, std::size_t bytes_max) {
  const zstd_stream stream;
  ZSTD_DCtx_setParameter(stream.state, ZSTD_d_windowLogMax, zstd_window_log_max);
  bounded_text out(bytes.size(), bytes_max);
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  bool ended = false;
  while (in.pos < in.size || !ended) {
    ZSTD_outBuffer to{out.at(), out.room(), 0};
    const std::size_t before = in.pos;
    const std::size_t status = ZSTD_decompressStream(stream.state, &to, &in);
    if (ZSTD_isError(status) != 0) return damaged(ZSTD_getErrorName(status));
    out.add(to.pos);
    ended = status == 0;
    if (out.is_over()) return too_large(bytes_max);
    if (in.pos == before && to.pos == 0 && !ended && out.room() > 0) return ends_early();
    out.grow();
  }
  return out.take();
}

}  // namespace

result<std::string> inflate(content_encoding encoding,
                            std::string_view bytes,
                            std::size_t bytes_max) {
  switch (encoding) {
    case content_encoding::gzip:
      return inflate_gzip(bytes, bytes_max);
    case content_encoding::zstd:
      return inflate_zstd(bytes, bytes_max);
    case content_encoding::identity:
      break;
  }
  if (bytes.size() > bytes_max) return too_large(bytes_max);
  return std::string(bytes);
}

}  // namespace headrace
