#include "storage/file_io.hpp"

#include <climits>

#include <algorithm>
#include <cerrno>
#include <fcntl.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

namespace headrace::storage {

file_handle& file_handle::operator=(file_handle&& other) noexcept {
  if (this != &other) {
    reset();
    descriptor_ = std::exchange(other.descriptor_, -1);
  }
  return *this;
}

void file_handle::reset() {
  if (descriptor_ >= 0) ::close(descriptor_);
  descriptor_ = -1;
}

error file_error(std::string_view what, const std::filesystem::path& path, int code) {
  std::string text = "cannot " + std::string(what) + " '" + path.string() +
                     "': " + std::system_category().message(code);
  if (code == ENOSPC || code == EDQUOT || code == EFBIG) {
    return error{errc::disk_full, text + "; free space on that disk or raise its limit"};
  }
  if (code == ENOENT) return error{errc::not_found, std::move(text)};
  if (code == EACCES || code == EPERM || code == EROFS)
    text += "; the user that runs headrace must own the folder";
  return error{errc::io_error, std::move(text)};
}

result<file_handle> open_file(const std::filesystem::path& path, int flags) {
  int descriptor = -1;
  do {
    descriptor = ::open(path.c_str(), flags | O_CLOEXEC, 0644);
  } while (descriptor < 0 && errno == EINTR);
  if (descriptor < 0) return file_error("open", path, errno);
  return file_handle(descriptor);
}

result<std::uint64_t> file_size(const file_handle& file, const std::filesystem::path& path) {
  struct ::stat about {};
  if (::fstat(file.get(), &about) != 0) return file_error("look at", path, errno);
  return static_cast<std::uint64_t>(about.st_size);
}

result<std::size_t> read_at(const file_handle& file,
                            const std::filesystem::path& path,
                            std::span<std::byte> into,
                            std::uint64_t offset) {
  std::size_t done = 0;
  while (done < into.size()) {
    const auto left = into.subspan(done);
    const ::ssize_t got =
        ::pread(file.get(), left.data(), left.size(), static_cast<::off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return file_error("read", path, errno);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

int write_at(int descriptor, std::span<::iovec> pieces, std::uint64_t offset) {
  while (!pieces.empty()) {
    const int count = static_cast<int>(std::min<std::size_t>(pieces.size(), IOV_MAX));
    const ::ssize_t wrote =
        ::pwritev(descriptor, pieces.data(), count, static_cast<::off_t>(offset));
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return errno;
    offset += static_cast<std::uint64_t>(wrote);
    auto left = static_cast<std::size_t>(wrote);
    while (!pieces.empty() && left >= pieces.front().iov_len) {
      left -= pieces.front().iov_len;
      pieces = pieces.subspan(1);
    }
    if (pieces.empty()) break;
    if (wrote == 0) return EIO;  // a file that takes nothing and says nothing
    pieces.front().iov_base = static_cast<char*>(pieces.front().iov_base) + left;
    pieces.front().iov_len -= left;
  }
  return 0;
}

result<void> make_folder(const std::filesystem::path& path) {
  std::error_code failure;
  std::filesystem::create_directories(path, failure);
  if (failure) return file_error("create the folder", path, failure.value());
  return {};
}

result<void> sync_folder(const std::filesystem::path& path) {
  auto folder = open_file(path, O_RDONLY | O_DIRECTORY);
  if (!folder) return folder.error();
  if (::fsync(folder->get()) != 0) return file_error("sync the folder", path, errno);
  return {};
}

result<void> replace_file(const std::filesystem::path& path, std::string_view text) {
  const std::filesystem::path temporary = path.string() + ".new";
  auto file = open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
  if (!file) return file.error();
  ::iovec piece{const_cast<char*>(text.data()), text.size()};  // only read
  int code = text.empty() ? 0 : write_at(file->get(), std::span(&piece, 1), 0);
  if (code == 0 && ::fsync(file->get()) != 0) code = errno;
  file->reset();
  if (code == 0 && ::rename(temporary.c_str(), path.c_str()) != 0) code = errno;
  if (code != 0) {
    ::unlink(temporary.c_str());
    return file_error("write", path, code);
  }
  return sync_folder(path.parent_path().empty() ? "." : path.parent_path());
}

result<std::vector<std::byte>> read_bytes(const std::filesystem::path& path) {
  auto file = open_file(path, O_RDONLY);
  if (!file) return file.error();
  const auto size = file_size(*file, path);
  if (!size) return size.error();
  std::vector<std::byte> bytes(*size);
  const auto got = read_at(*file, path, bytes, 0);
  if (!got) return got.error();
  bytes.resize(*got);
  return bytes;
}

result<std::string> read_text(const std::filesystem::path& path) {
  auto file = open_file(path, O_RDONLY);
  if (!file) return file.error();
  const auto size = file_size(*file, path);
  if (!size) return size.error();
  if (*size > std::uint64_t{64} << 20)
    return error{errc::too_large, "'" + path.string() + "' is not a small text file"};
  std::string text(*size, '\0');
  const auto got = read_at(*file, path, std::as_writable_bytes(std::span(text)), 0);
  if (!got) return got.error();
  text.resize(*got);
  return text;
}

}  // namespace headrace::storage
