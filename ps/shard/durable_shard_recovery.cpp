// From disk to service: rows, the log behind them, and the rows that nobody has asked for yet.
#include "ps/shard/durable_shard.hpp"
#include "ps/shard/redo_window.hpp"

#include <algorithm>
#include <utility>

namespace headrace::ps {
namespace {

constexpr std::size_t scan_rows = 65'536;  // looked at when room is made

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

}  // namespace

result<void> durable_shard::recover() {
  const auto position = state_->load_position(*parts_.rows);
  if (!position) return position.error();
  redo_window window(
      *state_, *parts_.rows, parts_.how.rows_per_batch, [this] { return make_room(); });
  result<void> redone;
  const auto read =
      parts_.log->read_from(lsn{position->value + 1}, [&](const storage::log_record& record) {
        redone = window.add(record);
        return redone.ok();
      });
  if (redone) redone = window.finish();
  if (!redone) return redone.error();
  if (!read) return read.error();
  return check_ends(*state_, *position, parts_.log->last());
}

// What was redone is dirty: written early, it may be dropped, too. The position stays behind it.
result<void> durable_shard::make_room() {
  if (!state_->over_budget()) return {};
  state_->tidy(scan_rows);
  if (!state_->far_over_budget()) return {};
  if (auto written = state_->write_rows(*parts_.rows); !written) return written;
  state_->tidy(scan_rows);
  return {};
}

struct durable_shard::piece {
  fetched_rows rows;
  result<void> read;
};

void durable_shard::take_rest() { take_rest({}, std::make_shared<piece>()); }

// Rows come into DRAM piece by piece while the shard serves; those it needs sooner it fetches.
void durable_shard::take_rest(storage::row_place from, std::shared_ptr<piece> found) {
  found->rows.clear();
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
        take_rest(place_behind(found->rows.rows().back()), found);
      });
}

}  // namespace headrace::ps
