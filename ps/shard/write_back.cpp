#include "ps/shard/write_back.hpp"

#include <algorithm>
#include <cstring>
#include <string>

namespace headrace::ps {

namespace {

storage::stored_row tail_mark(lsn at) {
  return {.table = tail_mark_table, .key = row_key{0}, .lsn = at, .payload = {}};
}

}  // namespace

// ---- rows to the store ----

result<std::optional<lsn>> read_tail_mark(shard_id shard, storage::row_store& store) {
  std::optional<lsn> mark;
  const row_key key{0};
  const auto read =
      store.read(shard, tail_mark_table, std::span(&key, 1), [&](const storage::stored_row& row) {
        mark = row.lsn;
      });
  if (!read) return read.error();
  return mark;
}

void row_batch::add(const table& from, row_header& row) {
  row.flags = (row.flags & ~row_flag::dirty) | row_flag::writing;
  const bool removed = (row.flags & row_flag::removed) != 0;
  const std::size_t size = removed ? 0 : from.shape().payload_bytes;
  const std::size_t offset = bytes_.size();
  bytes_.insert(bytes_.end(), payload(&row), payload(&row) + size);
  rows_.push_back({.row = {.table = from.spec().id,
                           .key = row_key{row.key},
                           .lsn = lsn{row.lsn},
                           .last_seen_ms = row.last_seen_ms,
                           .count = row.count,
                           .flags = row.flags & row_flag::stored,
                           .payload = {},
                           .removed = removed},
                   .offset = offset,
                   .size = size,
                   .from = &row});
}

result<void> row_batch::write(shard_id shard, storage::row_store& store) {
  std::vector<storage::stored_row> rows;
  rows.reserve(rows_.size() + 1);
  for (const copied& one : rows_) {
    rows.push_back(one.row);
    rows.back().payload = std::span(bytes_).subspan(one.offset, one.size);
  }
  rows.push_back(tail_mark(applied_));
  return store.write(shard, rows);
}

void row_batch::landed() {
  for (const copied& one : rows_) one.from->flags &= ~row_flag::writing;
  rows_.clear();
  bytes_.clear();
}

void row_batch::lost(std::span<table> tables) {
  for (const copied& one : rows_) {
    one.from->flags &= ~row_flag::writing;
    tables[one.row.table.value].mark_dirty(*one.from);
  }
  rows_.clear();
  bytes_.clear();
}

dirty_rows::dirty_rows(std::span<table> tables) {
  for (table& of : tables) {
    if (of.dirty() > 0) lists_.push_back({&of, of.take_dirty()});
  }
}

void dirty_rows::copy(std::size_t rows_max, row_batch& to) {
  while (!lists_.empty() && rows_max > 0) {
    list& last = lists_.back();
    for (; !last.rows.empty() && rows_max > 0; --rows_max) {
      to.add(*last.of, *last.rows.back());
      last.rows.pop_back();
    }
    if (last.rows.empty()) lists_.pop_back();
  }
}

void dirty_rows::give_up() {
  for (list& one : lists_) {
    for (row_header* row : one.rows) {
      row->flags &= ~row_flag::dirty;
      one.of->mark_dirty(*row);
    }
  }
  lists_.clear();
}

// ---- rows from the store ----

result<void> take_stored_row(std::span<table> tables,
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
  if (row.payload.size() != to.shape().payload_bytes)
    return corrupt("has another width than its table");
  if (schemas::shard_of(row.key, shards) != shard) return corrupt("belongs to another shard");
  if (to.find(row.key.value) != nullptr) return corrupt("is there twice");
  row_header* made = to.make(row.key.value);
  made->lsn = row.lsn.value;
  made->last_seen_ms = row.last_seen_ms;
  made->count = row.count;
  made->flags = row.flags & row_flag::stored;
  std::memcpy(payload(made), row.payload.data(), row.payload.size());
  to.arrived(*made);
  return {};
}

result<lsn> read_rows(std::span<table> tables,
                      shard_id shard,
                      std::uint32_t shards,
                      storage::row_store& store) {
  lsn newest;
  result<void> taken;
  const auto scanned = store.scan(shard, [&](const storage::stored_row& row) {
    if (taken && row.table != tail_mark_table) taken = take_stored_row(tables, shard, shards, row);
    newest = std::max(newest, row.lsn);
  });
  if (!scanned) return scanned.error();
  if (!taken) return taken.error();
  return newest;
}

}  // namespace headrace::ps
