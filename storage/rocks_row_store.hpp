#pragma once

#include "storage/io_pool.hpp"
#include "storage/row_codec.hpp"
#include "storage/row_store.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace headrace::storage {

/// Rows of all shards of a node in one RocksDB.
///
/// Keys and values to the byte: docs/storage-format.md. Rows of a shard lie together in (table,
/// key) order, its position behind them, all in one column family and without a write-ahead log
/// (the update log is one already). Each write becomes a sorted file, durable when it returns, and
/// so does each position: one is never durable without the rows written before it. After a crash
/// there may be rows newer than the position: redo by row LSN allows for that.
class rocks_row_store final : public row_store {
 public:
  struct options {
    std::filesystem::path path;  // created if absent, with its parents
    bool read_only = false;  // takes no lock and changes nothing; sees what was durable when opened
    std::size_t block_cache_bytes = std::size_t{64} << 20;
    /// ZSTD for the oldest sorted run, where cold rows lie. A restart that reads every row is twice
    /// as fast without.
    bool compress_oldest = true;
    io_pool* pool = nullptr;  // shares large reads; must outlive the store
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
  /// Large reads are cut into pieces, which the pool's threads and the caller read side by side;
  /// may be called from a task of that pool.
  result<void> read(shard_id shard,
                    table_id table,
                    std::span<const row_key> keys,
                    const std::function<void(const stored_row&)>& visit) override;
  result<void> scan_from(shard_id shard,
                         row_place from,
                         std::size_t rows_max,
                         const std::function<void(const stored_row&)>& visit) override;

  /// Reads every block of every file. Fails: corrupt, file named.
  result<void> verify();
  /// All rows and positions as they are now, as a row store of its own in `into`, which must not
  /// exist and whose parent must. Files are linked, or copied to another file system. Fails: in_use
  /// (`into` exists, or the store is read_only), disk_full, io_error.
  result<void> checkpoint(const std::filesystem::path& into);
  /// Bytes of the files that hold the rows.
  std::uint64_t bytes() const;
  /// Rewrites all files at once, instead of bit by bit as writes come in.
  result<void> compact();
  /// From now on compactions drop rows of `table` last seen before `last_seen_below_ms`; until one
  /// comes by, `read` and `scan` may still give them.
  void set_expiry(table_id table, std::uint64_t last_seen_below_ms);

 private:
  struct engine;
  explicit rocks_row_store(std::unique_ptr<engine> built);
  std::unique_ptr<engine> engine_;
};

}  // namespace headrace::storage
