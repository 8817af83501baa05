#pragma once

#include "base/sha256.hpp"
#include "storage/file_io.hpp"

#include <algorithm>
#include <memory>

namespace headrace::storage {

/// A new file under a name that nobody reads, until `commit` gives it the one it is for. Goes away
/// with this object otherwise. Hashes what is written.
class partial_file {
 public:
  /// Replaces what stands at `path`. Holds a lock (flock) while it is written.
  static result<partial_file> open(std::filesystem::path path);
  partial_file(partial_file&&) = default;
  partial_file& operator=(partial_file&&) = delete;
  ~partial_file();

  result<void> write(std::span<const std::byte> bytes);
  /// SHA-256 of what was written since the last `restart` or `finish_hash`.
  std::string finish_hash() { return hasher_->finish_hex(); }
  /// Empties it, for another attempt.
  result<void> restart();
  /// Syncs it, renames it to `path` and syncs that folder.
  result<void> commit(const std::filesystem::path& path);

 private:
  partial_file(file_handle file, std::filesystem::path path)
      : file_(std::move(file)),
        path_(std::move(path)),
        hasher_(std::make_unique<sha256_hasher>()) {}

  file_handle file_;
  std::filesystem::path path_;
  std::unique_ptr<sha256_hasher> hasher_;
  std::uint64_t written_ = 0;
  std::uint64_t on_its_way_ = 0;  // of these, to the disk
};

/// Hands the first `bytes` bytes of `file` to `take(span) → result<void>`, a MiB at a time.
/// Fails: io_error (also when the file is shorter), what `take` fails with.
template <class Take>
result<void> for_each_piece(const file_handle& file,
                            const std::filesystem::path& path,
                            std::uint64_t bytes,
                            Take&& take) {
  std::vector<std::byte> buffer(std::min<std::uint64_t>(bytes, std::uint64_t{1} << 20));
  for (std::uint64_t at = 0; at < bytes;) {
    const auto piece = std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), bytes - at));
    const auto got = read_at(file, path, piece, at);
    if (!got) return got.error();
    if (*got < piece.size())
      return error{errc::io_error, "'" + path.string() + "' became shorter while it was read"};
    if (auto taken = take(std::span<const std::byte>(piece)); !taken) return taken.error();
    at += piece.size();
  }
  return {};
}

/// SHA-256 of a whole file, as 64 hexadecimal digits.
result<std::string> sha256_of_file(const std::filesystem::path& path);

}  // namespace headrace::storage
