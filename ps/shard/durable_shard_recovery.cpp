// From disk to service: rows, the log behind them, and the rows that nobody has asked for yet.
#include "ps/shard/durable_shard.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace headrace::ps {
namespace {

constexpr std::size_t window_bytes_max = std::size_t{256} << 20;  // of records
constexpr std::size_t window_records_max = 2'048;  // each may pin the same row: 12 bits count them
constexpr std::size_t scan_rows = 65'536;          // looked at when room is made

std::string text(lsn at) { return std::to_string(at.value); }

/// Rows and log must end at the same record; anything else is damage that no redo heals.
result<void> check_ends(const shard& state, lsn position, const storage::ordered_log::extent& log) {
  const std::string name = "update log of shard " + std::to_string(state.id().value);
  if (state.applied() < log.last) {
    return error{errc::corrupt,
                 name + " begins at " + text(log.first) + " but rows are flushed only through " +
                     text(position) + "; restore the state folder from a copy"};
  }
  if (const lsn newest = std::max(state.applied(), state.newest_row()); newest > log.last) {
    return error{errc::corrupt,
                 name + " ends at " + text(log.last) + " but rows hold record " + text(newest) +
                     ": the log lost its tail; restore the state folder from a copy"};
  }
  return {};
}

storage::row_place place_behind(const storage::stored_row& row) {
  if (row.key.value == UINT64_MAX) return {table_id{row.table.value + 1}, row_key{0}};
  return {row.table, row_key{row.key.value + 1}};
}

/// Rows that a record's blocks name, about.
std::size_t rows_of(const working_set& set) {
  std::size_t rows = 0;
  for (const working_set::part& part : set.parts) rows += part.pinned.size() + part.missing.size();
  return rows;
}

}  // namespace

/// Records in order, redone together: the rows they need and that are not here are read at once, in
/// the order of keys.
struct durable_shard::redo_window {
  std::vector<storage::log_record> records;
  std::vector<working_set> sets;
  std::size_t rows = 0;
  std::size_t bytes = 0;
};

result<void> durable_shard::recover() {
  const auto position = state_->load_position(*parts_.rows);
  if (!position) return position.error();
  // Rows of a window come to DRAM together: few, where there is little room for them.
  const std::size_t rows_max =
      state_->has_budget() ? parts_.how.rows_per_batch : 16 * parts_.how.rows_per_batch;
  redo_window window;
  result<void> redone;
  const auto read =
      parts_.log->read_from(lsn{position->value + 1}, [&](const storage::log_record& record) {
        if (!state_->has_cold_rows()) {
          redone = state_->redo(record);
          return redone.ok();
        }
        auto needed = state_->open_set(record);
        redone = needed.ok() ? result<void>() : needed.error();
        if (!redone) return false;
        window.rows += rows_of(*needed);
        window.bytes += record.payload.size();
        window.records.push_back(record);
        window.sets.push_back(std::move(*needed));
        if (window.rows >= rows_max || window.bytes >= window_bytes_max ||
            window.records.size() >= window_records_max)
          redone = redo(std::exchange(window, {}));
        return redone.ok();
      });
  if (redone) redone = redo(std::move(window));
  if (!redone) return redone.error();
  if (!read) return read.error();
  return check_ends(*state_, *position, parts_.log->last());
}

result<void> durable_shard::redo(redo_window window) {
  std::map<table_id, std::vector<row_key>> missing;
  for (const working_set& set : window.sets) {
    for (const working_set::part& part : set.parts) {
      auto& keys = missing[part.table];
      keys.insert(keys.end(), part.missing.begin(), part.missing.end());
    }
  }
  fetched_rows found;
  for (auto& [table, keys] : missing) {
    std::ranges::sort(keys);
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    auto read = parts_.rows->read(
        state_->id(), table, keys, [&](const storage::stored_row& row) { found.add(row); });
    if (!read) return read;
  }
  for (std::size_t i = 0; i < window.records.size(); ++i) {
    working_set& set = window.sets[i];
    if (set.open) {
      // All of them with the first: what is missing after that is in no store either.
      if (auto filled = state_->fill_set(set, std::exchange(found, {})); !filled) return filled;
    }
    if (auto done = state_->redo(window.records[i]); !done) return done;
    state_->close_set(set);
  }
  if (!state_->over_budget()) return {};
  state_->tidy(scan_rows);
  // What was redone is dirty: written early, it may be dropped, too. The position stays behind it.
  if (!state_->far_over_budget()) return {};
  if (auto written = state_->write_rows(*parts_.rows); !written) return written;
  state_->tidy(scan_rows);
  return {};
}

void durable_shard::take_rest(storage::row_place from) {
  struct piece {
    fetched_rows rows;
    result<void> read;
  };
  auto found = std::make_shared<piece>();
  parts_.io->run(
      [found, from, store = parts_.rows, id = state_->id(), rows_max = parts_.how.rows_per_piece] {
        found->read = store->scan_from(
            id, from, rows_max, [&](const storage::stored_row& row) { found->rows.add(row); });
      },
      [this, found] {
        if (failed()) return;
        if (!found->read) return fail(found->read.error());
        if (auto taken = state_->take_resident(found->rows.rows()); !taken)
          return fail(taken.error());
        if (found->rows.rows().size() < parts_.how.rows_per_piece) return state_->all_taken();
        take_rest(place_behind(found->rows.rows().back()));
      });
}

}  // namespace headrace::ps
