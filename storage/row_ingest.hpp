#pragma once

#include "base/result.hpp"
#include "storage/level0_gate.hpp"
#include "storage/row_store.hpp"

#include <rocksdb/db.h>
#include <rocksdb/options.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <shared_mutex>
#include <span>

namespace headrace::storage {

/// Writes of many rows as one sorted file each, which RocksDB takes over by a link: two to six
/// times the rate of a memtable, at half the CPU (docs/storage-format.md). The rows are durable
/// when `write` returns, and newer than everything written before. Thread-safe.
///
/// RocksDB 7.8 puts older rows before newer ones if it is left to itself, in two ways (found by the
/// test that writes from eight threads):
///  - It flushes only memtables whose keys overlap the file. A memtable of other keys then becomes
///    a file with sequence numbers on both sides of this one's, and after a merge RocksDB refuses
///    all writes, at best (7.9 numbers files by "epochs" instead). So nothing may lie in a memtable
///    when a file is taken over.
///  - It looks for the deepest level where the file fits, while merges run, and gives it an old
///    sequence number there. So a snapshot is held meanwhile: with one, level 0 and a new number
///    are the only choice.
class row_ingest {
 public:
  /// `folder` is emptied; it must be on the file system of `db`, which must outlive this;
  /// `gate` listens to it. Whoever writes to its memtables holds `memtables`, shared.
  static result<std::unique_ptr<row_ingest>> open(rocksdb::DB& db,
                                                  const rocksdb::Options& options,
                                                  std::filesystem::path folder,
                                                  std::shared_ptr<level0_gate> gate,
                                                  std::shared_mutex& memtables);

  /// Of a key that comes twice the last one counts. `rows` must not be empty.
  rocksdb::Status write(shard_id shard, std::span<const stored_row> rows);

 private:
  row_ingest(rocksdb::DB& db,
             rocksdb::Options options,
             std::filesystem::path folder,
             std::shared_ptr<level0_gate> gate,
             std::shared_mutex& memtables)
      : db_(db),
        options_(std::move(options)),
        folder_(std::move(folder)),
        gate_(std::move(gate)),
        memtables_(memtables) {}
  rocksdb::Status take_over(const std::filesystem::path& file);
  rocksdb::Status build(const std::filesystem::path& file,
                        shard_id shard,
                        std::span<const stored_row> rows) const;

  rocksdb::DB& db_;
  rocksdb::Options options_;
  std::filesystem::path folder_;
  std::shared_ptr<level0_gate> gate_;
  std::shared_mutex& memtables_;
  std::atomic<std::uint64_t> files_{0};
};

/// Writes the memtables to files, and waits for that; not for merges.
rocksdb::Status flush_memtables(rocksdb::DB& db);

}  // namespace headrace::storage
