#pragma once

#include <rocksdb/options.h>

#include <cstddef>
#include <memory>
#include <vector>

namespace headrace::storage {

struct rocks_tuning {
  bool read_only = false;
  std::size_t block_cache_bytes = 0;
  bool compress_oldest = true;
  std::shared_ptr<rocksdb::CompactionFilterFactory> expiry;
  std::vector<std::shared_ptr<rocksdb::EventListener>> listeners;
  rocksdb::Env* files = nullptr;  // must outlive the store
};

/// How RocksDB is set up for rows that come in large sorted files and are overwritten again and
/// again; what was measured for it is in docs/storage-format.md.
rocksdb::Options rocks_options(const rocks_tuning& how);
/// For reading whole files through: checks every block, leaves the cache to the others.
rocksdb::ReadOptions rocks_scan_options();
/// For looking up keys.
rocksdb::ReadOptions rocks_read_options();

/// Writers wait while so many files lie in level 0.
inline constexpr int level0_files_max = 24;

}  // namespace headrace::storage
