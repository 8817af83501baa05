#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "ps/table/table.hpp"
#include "schemas/schema.hpp"
#include "storage/row_store.hpp"

#include <span>

/// Between a shard's tables and the row store: rows are written and read whole. Positions are the
/// shard's business.
namespace headrace::ps {

/// Writes every row that a record behind `flushed` was applied to. Fails as row_store::write; what
/// was written before is written again by the next call.
result<void> write_changed_rows(std::span<const table> tables,
                                lsn flushed,
                                shard_id shard,
                                storage::row_store& store);

/// Fills empty tables with the shard's stored rows and gives the newest record that any of them
/// carries. Fails: corrupt (a row of no table, of another width, of another shard, or twice there),
/// io_error.
result<lsn> read_rows(std::span<table> tables,
                      shard_id shard,
                      std::uint32_t shards,
                      storage::row_store& store);

}  // namespace headrace::ps
