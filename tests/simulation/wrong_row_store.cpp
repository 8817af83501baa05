#include "tests/simulation/wrong_row_store.hpp"

#include "ps/shard/write_back.hpp"

#include <utility>

namespace headrace::simulation {

using storage::stored_row;

result<void> wrong_row_store::write(shard_id shard, std::span<const stored_row> rows) {
  switch (kind_) {
    case variant::write_lands_late:
      return write_late(shard, rows);
    case variant::reads_stale_copies:
      keep_copies(shard, rows);
      return rows_.write(shard, rows);
    case variant::position_before_rows:
      // Only now do the rows become durable that the position was told for.
      if (const auto of = promised_.find(shard); of != promised_.end()) {
        if (auto done = rows_.commit(shard, of->second); !done) return done;
        promised_.erase(of);
      }
      return rows_.write(shard, rows);
    case variant::loses_a_row:
      return rows_.write(shard, rows.subspan(rows.size() > 2 ? 1 : 0));
    case variant::hides_failed_writes:
      static_cast<void>(rows_.write(shard, rows));
      return {};
    default:
      return rows_.write(shard, rows);
  }
}

result<void> wrong_row_store::write_late(shard_id shard, std::span<const stored_row> rows) {
  ps::fetched_rows next;
  for (const stored_row& row : rows) next.add(row);
  const ps::fetched_rows last = std::exchange(late_[shard], std::move(next));
  return last.rows().empty() ? result<void>() : rows_.write(shard, last.rows());
}

void wrong_row_store::keep_copies(shard_id shard, std::span<const stored_row> rows) {
  for (const stored_row& row : rows) {
    ps::fetched_rows& kept = former_[place(shard, row.table, row.key)];
    kept = {};
    static_cast<void>(rows_.read(
        shard, row.table, std::span(&row.key, 1), [&](const stored_row& old) { kept.add(old); }));
  }
}

result<void> wrong_row_store::commit(shard_id shard, const storage::shard_position& position) {
  if (is(variant::position_before_rows)) {
    promised_[shard] = position;
    return {};
  }
  if (is(variant::write_lands_late)) {
    if (auto landed = write_late(shard, {}); !landed) return landed;
  }
  const auto done = rows_.commit(shard, position);
  return is(variant::hides_failed_writes) ? result<void>() : done;
}

result<storage::shard_position> wrong_row_store::position(shard_id shard) {
  const auto of = promised_.find(shard);
  if (of != promised_.end()) return of->second;
  return rows_.position(shard);
}

void wrong_row_store::show(shard_id shard,
                           const stored_row& row,
                           const std::function<void(const stored_row&)>& visit) const {
  if (is(variant::forgets_row_lsn) && row.table != ps::tail_mark_table) {
    stored_row forgetful = row;
    forgetful.lsn = lsn{};
    return visit(forgetful);
  }
  if (is(variant::stored_rows_do_not_age)) {
    stored_row young = row;
    young.last_seen_ms = UINT64_MAX / 2;
    return visit(young);
  }
  const auto former = former_.find(place(shard, row.table, row.key));
  const bool stale = former != former_.end() && !former->second.rows().empty();
  visit(stale ? former->second.rows().front() : row);
}

result<void> wrong_row_store::read(shard_id shard,
                                   table_id table,
                                   std::span<const row_key> keys,
                                   const std::function<void(const stored_row&)>& visit) {
  return rows_.read(shard, table, keys, [&](const stored_row& row) { show(shard, row, visit); });
}

result<void> wrong_row_store::scan_from(shard_id shard,
                                        storage::row_place from,
                                        std::size_t rows_max,
                                        const std::function<void(const stored_row&)>& visit) {
  return rows_.scan_from(
      shard, from, rows_max, [&](const stored_row& row) { show(shard, row, visit); });
}

}  // namespace headrace::simulation
