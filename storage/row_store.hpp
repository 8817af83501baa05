#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

/// Rows at rest: behind the DRAM tables, never on the hot path (design §5).
namespace headrace::storage {

/// One whole row as stored: header, weights and optimizer state are one record, never split.
/// `state` holds the floats behind the header: [dim] weights, then optimizer state.
struct stored_row {
  table_id table;
  row_key key;
  headrace::lsn lsn;  // last record applied to this row: redo applies iff record.lsn > row.lsn
  std::uint64_t last_seen_ms = 0;
  std::uint32_t count = 0;
  std::uint32_t flags = 0;
  std::span<const float> floats;
};

/// Checkpoint of one shard as far as this slice goes: positions beside the rows. `flushed` only
/// advances after the rows were written.
struct shard_position {
  headrace::lsn flushed;
  headrace::epoch epoch{1};
  std::vector<std::byte> state;  // watermarks and versions as of `flushed`, encoded by ps/
};

/// Engines: RocksDB (storage/rocks_row_store.hpp), memory. One writer thread for each shard.
class row_store {
 public:
  virtual ~row_store() = default;
  /// Writes rows whole; later writes of a key replace earlier ones. May be called many times before
  /// a commit.
  virtual result<void> write(shard_id shard, std::span<const stored_row> rows) = 0;
  /// Makes every earlier write of this shard durable, then advances its position.
  virtual result<void> commit(shard_id shard, const shard_position& position) = 0;
  /// The position, or lsn 0 and empty state for a new shard. Fails: corrupt, io_error.
  virtual result<shard_position> position(shard_id shard) = 0;
  /// Visits every stored row of the shard in (table, key) order. Fails: corrupt, io_error.
  virtual result<void> scan(shard_id shard,
                            const std::function<void(const stored_row&)>& visit) = 0;
};

}  // namespace headrace::storage
