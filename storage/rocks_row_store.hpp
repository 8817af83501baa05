#pragma once

#include "storage/row_store.hpp"

#include <array>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace headrace::storage {

/// Rows of all shards of a node in one RocksDB.
///
/// Keys and values to the byte: docs/storage-format.md. Rows of a shard lie together in (table,
/// key) order, its position behind them, all in one column family and without a write-ahead log
/// (the update log is one already). RocksDB flushes memtables in the order they were filled, so a
/// position, written after its rows, is never durable without them; `commit` flushes and returns
/// when both are. After a crash there may be rows newer than the position: redo by row LSN allows
/// for that.
///
/// Thread-safe: shards may write, commit and scan at the same time, each from its own thread.
class rocks_row_store final : public row_store {
 public:
  struct options {
    std::filesystem::path path;  // created if absent, with its parents
    bool read_only = false;  // takes no lock and changes nothing; sees what was durable when opened
    std::size_t memtable_bytes = std::size_t{64} << 20;
  };
  /// Fails: in_use (another process or object has it), corrupt (file named), disk_full, io_error,
  /// not_found (read_only).
  static result<std::unique_ptr<rocks_row_store>> open(options how);
  static result<std::unique_ptr<rocks_row_store>> open(std::filesystem::path path,
                                                       bool read_only = false);
  ~rocks_row_store() override;

  result<void> write(shard_id shard, std::span<const stored_row> rows) override;
  result<void> commit(shard_id shard, const shard_position& position) override;
  result<shard_position> position(shard_id shard) override;
  result<void> scan(shard_id shard, const std::function<void(const stored_row&)>& visit) override;

  /// Reads every block of every file. Fails: corrupt, file named.
  result<void> verify();

 private:
  struct engine;
  explicit rocks_row_store(std::unique_ptr<engine> built);
  std::unique_ptr<engine> engine_;
};

/// Key of a row: shard, table, key, big-endian, so that bytes sort as numbers do.
std::array<std::byte, 16> encode_row_key(shard_id shard, table_id table, row_key key);
/// Value of a row: lsn, last_seen_ms, count, flags, then the floats; little-endian.
std::string encode_row(const stored_row& row);
/// Value of a shard's position.
std::string encode_position(const shard_position& position);
/// Fails: corrupt.
result<shard_position> decode_position(std::span<const std::byte> bytes);

}  // namespace headrace::storage
