#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <sys/uio.h>
#include <utility>
#include <vector>

/// POSIX files as values and results.
namespace headrace::storage {

/// Owns a file descriptor.
class file_handle {
 public:
  file_handle() = default;
  explicit file_handle(int descriptor) : descriptor_(descriptor) {}
  file_handle(file_handle&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  file_handle& operator=(file_handle&& other) noexcept;
  ~file_handle() { reset(); }

  int get() const { return descriptor_; }
  explicit operator bool() const { return descriptor_ >= 0; }
  void reset();

 private:
  int descriptor_ = -1;
};

/// `code` (an errno) as an error: "cannot WHAT 'path': text; what to do". ENOSPC, EDQUOT and EFBIG
/// are disk_full.
error file_error(std::string_view what, const std::filesystem::path& path, int code);

/// open(2) with O_CLOEXEC; new files get mode 0644.
result<file_handle> open_file(const std::filesystem::path& path, int flags);
result<std::uint64_t> file_size(const file_handle& file, const std::filesystem::path& path);
/// Reads into `into` from `offset`; less than asked for only at the end of the file.
result<std::size_t> read_at(const file_handle& file,
                            const std::filesystem::path& path,
                            std::span<std::byte> into,
                            std::uint64_t offset);
/// Writes all of `pieces` at `offset`; 0 or errno. Consumes `pieces`. A short write goes on where
/// it stopped.
int write_at(int descriptor, std::span<::iovec> pieces, std::uint64_t offset);

/// Creates the folder and its parents.
result<void> make_folder(const std::filesystem::path& path);
/// fsync of a folder: what was created, renamed or removed in it stays so.
result<void> sync_folder(const std::filesystem::path& path);
/// Replaces `path` by `text`: a temporary file beside it, fsync, rename, fsync of the folder.
result<void> replace_file(const std::filesystem::path& path, std::string_view text);
/// The whole file, whatever its size. Fails: not_found, io_error.
result<std::vector<std::byte>> read_bytes(const std::filesystem::path& path);
/// The whole file. Fails: not_found, too_large (over 64 MiB), io_error.
result<std::string> read_text(const std::filesystem::path& path);

}  // namespace headrace::storage
