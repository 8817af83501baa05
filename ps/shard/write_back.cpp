#include "ps/shard/write_back.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace headrace::ps {
namespace {

// Rows of one write to the store; 1,024 rows of 64 floats are a RocksDB batch of 0.3 MiB.
constexpr std::size_t rows_per_write = 1'024;

// Makes the row in its table.
result<void> take_row(std::span<table> tables,
                      shard_id shard,
                      std::uint32_t shards,
                      const storage::stored_row& row) {
  const auto corrupt = [&](const char* why) {
    return error{errc::corrupt,
                 "stored row " + std::to_string(row.key.value) + " of table " +
                     std::to_string(row.table.value) + " on shard " + std::to_string(shard.value) +
                     ' ' + why + "; restore the state folder from a copy"};
  };
  if (row.table.value >= tables.size()) return corrupt("is of a table that the job does not have");
  table& to = tables[row.table.value];
  if (row.floats.size() != to.floats_per_row()) return corrupt("has another width than its table");
  if (schemas::shard_of(row.key, shards) != shard) return corrupt("belongs to another shard");
  if (to.find(row.key.value) != nullptr) return corrupt("is there twice");
  row_header* made = to.make(row.key.value);
  made->lsn = row.lsn.value;
  made->last_seen_ms = row.last_seen_ms;
  made->count = row.count;
  made->flags = row.flags;
  std::copy(row.floats.begin(), row.floats.end(), table::floats(made));
  return {};
}

}  // namespace

result<void> write_changed_rows(std::span<const table> tables,
                                lsn flushed,
                                shard_id shard,
                                storage::row_store& store) {
  std::vector<storage::stored_row> rows;
  rows.reserve(rows_per_write);
  result<void> written;
  const auto write = [&] {
    if (written && !rows.empty()) written = store.write(shard, rows);
    rows.clear();
  };
  for (const table& from : tables) {
    from.visit([&](const row_header& row) {
      if (row.lsn <= flushed.value || !written) return;
      rows.push_back({.table = from.spec().id,
                      .key = row_key{row.key},
                      .lsn = lsn{row.lsn},
                      .last_seen_ms = row.last_seen_ms,
                      .count = row.count,
                      .flags = row.flags,
                      .floats = {table::floats(&row), from.floats_per_row()}});
      if (rows.size() == rows_per_write) write();
    });
  }
  write();
  return written;
}

result<lsn> read_rows(std::span<table> tables,
                      shard_id shard,
                      std::uint32_t shards,
                      storage::row_store& store) {
  lsn newest;
  result<void> taken;
  const auto scanned = store.scan(shard, [&](const storage::stored_row& row) {
    if (taken) taken = take_row(tables, shard, shards, row);
    newest = std::max(newest, row.lsn);
  });
  if (!scanned) return scanned.error();
  if (!taken) return taken.error();
  return newest;
}

}  // namespace headrace::ps
