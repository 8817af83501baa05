#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

/// Rows at rest: behind the DRAM tables, never on the hot path (design §5).
namespace headrace::storage {

/// One whole row as stored: header, weights and optimizer state are one record, never split.
/// `payload` is what lies behind the header in DRAM (ps/table/row_shape.hpp), a multiple of 4
/// bytes. A removed row has none: writing it removes the key.
struct stored_row {
  table_id table;
  row_key key;
  headrace::lsn lsn;  // last record applied to this row: redo applies iff record.lsn > row.lsn
  std::uint64_t last_seen_ms = 0;
  std::uint32_t count = 0;
  std::uint32_t flags = 0;
  std::span<const std::byte> payload;  // 4-byte aligned when visited
  bool removed = false;
};

/// A row's place in the order of a shard's rows.
struct row_place {
  table_id table;
  row_key key;
};

/// How far a shard's rows go. `flushed` only advances after the rows were written.
struct shard_position {
  headrace::lsn flushed;
  headrace::epoch epoch{1};
  std::vector<std::byte> state;  // watermarks, sketches and versions as of `flushed`, from ps/
};

/// Engines: RocksDB (storage/rocks_row_store.hpp), memory. Thread-safe: any thread may call
/// anything; calls that write rows of one shard, or commit it, are made one after the other.
class row_store {
 public:
  virtual ~row_store() = default;
  /// Writes rows whole, in any order; later writes of a key replace earlier ones. May be called
  /// many times before a commit. When it returns, `read` and `scan` see the rows.
  virtual result<void> write(shard_id shard, std::span<const stored_row> rows) = 0;
  /// Makes every earlier write of this shard durable, then advances its position.
  virtual result<void> commit(shard_id shard, const shard_position& position) = 0;
  /// The position, or lsn 0 and empty state for a new shard. Fails: corrupt, io_error.
  virtual result<shard_position> position(shard_id shard) = 0;
  /// Visits those of `keys` (strictly ascending) that have a stored row, in key order. Fails:
  /// corrupt, io_error.
  virtual result<void> read(shard_id shard,
                            table_id table,
                            std::span<const row_key> keys,
                            const std::function<void(const stored_row&)>& visit) = 0;
  /// Visits up to `rows_max` stored rows of the shard from `from` on, in (table, key) order. Fails:
  /// corrupt, io_error.
  virtual result<void> scan_from(shard_id shard,
                                 row_place from,
                                 std::size_t rows_max,
                                 const std::function<void(const stored_row&)>& visit) = 0;
  /// Every stored row of the shard.
  result<void> scan(shard_id shard, const std::function<void(const stored_row&)>& visit) {
    return scan_from(shard, {}, SIZE_MAX, visit);
  }
};

}  // namespace headrace::storage
