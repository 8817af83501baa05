#pragma once

#include "base/result.hpp"
#include "storage/level0_gate.hpp"
#include "storage/row_file_system.hpp"
#include "storage/row_store.hpp"

#include <rocksdb/db.h>
#include <rocksdb/options.h>
#include <rocksdb/sst_file_writer.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <span>

namespace headrace::storage {

/// Everything that is written becomes a sorted file, which RocksDB takes over by a link: two to six
/// times the rate of a memtable, at half the CPU, and durable when the call returns
/// (docs/storage-format.md). What is written later is newer. Thread-safe.
///
/// Memtables stay empty for ever, for three reasons found by tests on RocksDB 7.8:
///  - A file taken over while a memtable of other keys is on its way to a file gets a sequence
///    number in the middle of that one's, and after a merge RocksDB refuses all writes (7.9 numbers
///    files by "epochs" instead).
///  - A full disk makes flushes be tried again by several threads, and one that finds nothing to do
///    ends the process by an assertion in Debian's build.
///  - A full disk then costs only the file that was being written, which is ours.
/// And RocksDB looks for the deepest level where a file fits, while merges run, and gives it an old
/// sequence number there. So a snapshot is held meanwhile: with one, level 0 and a new number are
/// the only choice.
class row_ingest {
 public:
  /// `folder` is emptied; it must be on the file system of `db`, which must outlive this;
  /// `gate` listens to it, and `files` are its files.
  static result<std::unique_ptr<row_ingest>> open(rocksdb::DB& db,
                                                  const rocksdb::Options& options,
                                                  std::filesystem::path folder,
                                                  std::shared_ptr<level0_gate> gate,
                                                  std::shared_ptr<row_file_system> files);

  /// Of a key that comes twice the last one counts. `rows` must not be empty.
  rocksdb::Status write(shard_id shard, std::span<const stored_row> rows);
  rocksdb::Status write(shard_id shard, const shard_position& position);

 private:
  row_ingest(rocksdb::DB& db,
             rocksdb::Options options,
             std::filesystem::path folder,
             std::shared_ptr<level0_gate> gate,
             std::shared_ptr<row_file_system> files)
      : db_(db),
        options_(std::move(options)),
        folder_(std::move(folder)),
        gate_(std::move(gate)),
        file_system_(std::move(files)) {}
  /// Writes a file with what `fill` puts into it, and has it taken over.
  rocksdb::Status write(const std::function<rocksdb::Status(rocksdb::SstFileWriter&)>& fill);
  rocksdb::Status take_over(const std::filesystem::path& file);

  rocksdb::DB& db_;
  rocksdb::Options options_;
  std::filesystem::path folder_;
  std::shared_ptr<level0_gate> gate_;
  std::shared_ptr<row_file_system> file_system_;
  std::mutex one_file_;  // is taken over at a time
  std::atomic<std::uint64_t> files_{0};
};

}  // namespace headrace::storage
