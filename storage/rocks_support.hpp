#pragma once

#include "base/result.hpp"

#include <rocksdb/slice.h>
#include <rocksdb/status.h>

#include <cstddef>
#include <filesystem>
#include <span>
#include <string_view>

/// RocksDB's words and ours. Included only where RocksDB is used, in storage/.
namespace headrace::storage {

inline rocksdb::Slice slice_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline std::span<const std::byte> bytes_of(const rocksdb::Slice& slice) {
  return std::as_bytes(std::span(slice.data(), slice.size()));
}

/// "cannot WHAT 'path': …; what to do" as corrupt, disk_full or io_error.
error rocks_error(const rocksdb::Status& status,
                  const std::filesystem::path& path,
                  std::string_view what);
/// The same for opening, where a lock that is held is in_use.
error rocks_open_error(const rocksdb::Status& status, const std::filesystem::path& path);

}  // namespace headrace::storage
