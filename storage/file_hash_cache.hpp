#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <tuple>

namespace headrace::storage {

/// SHA-256 of files, remembered by what identifies them on this machine (device, inode, size, time
/// of last write), so that a file that is hard-linked into one checkpoint after the other is read
/// once.
///
/// A file written within the last two seconds is hashed and not remembered: it might be written
/// again in the same tick of its clock. Contents changed without a change of those four go unseen
/// here; stores check the hash again for what they upload.
class file_hash_cache {
 public:
  struct hashed {
    std::string sha256;
    std::uint64_t bytes = 0;
    bool read = false;  // false: remembered
  };

  /// Fails: not_found, bad_input (not a regular file), io_error.
  result<hashed> hash(const std::filesystem::path& path);

  /// Forgets what was not asked for since the last call.
  void forget_unused();

  /// As text with a checksum; a file that is absent or damaged gives an empty cache.
  result<void> save(const std::filesystem::path& path) const;
  static file_hash_cache load(const std::filesystem::path& path);

 private:
  // device, inode, bytes, time of last write in ns
  using identity = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t, std::uint64_t>;
  struct known {
    std::string sha256;
    bool used = false;
  };
  std::map<identity, known> files_;
};

}  // namespace headrace::storage
