#include "ps/recovery/cut_tables.hpp"

#include <string>
#include <utility>

namespace headrace::ps {

result<cut_tables> cut_tables::open(shard_id id,
                                    const schemas::job_schema& schema,
                                    storage::row_store& store,
                                    storage::ordered_log& log,
                                    lsn through) {
  cut_tables made(std::make_unique<shard>(id, schema, shard_limits{}, headrace::epoch{1}), store);
  const auto position = made.state_->load_position(store);
  if (!position) return position.error();
  result<void> redone;
  if (through > *position) {
    const auto read =
        log.read_from(lsn{position->value + 1}, [&](const storage::log_record& record) {
          if (record.lsn > through) return false;
          redone = made.redo(record);
          return redone.ok() && record.lsn < through;
        });
    if (!read) return read.error();
    if (!redone) return redone.error();
  }
  if (const lsn newest = made.state_->newest_row(); newest > made.applied()) {
    return error{errc::corrupt,
                 "rows of shard " + std::to_string(id.value) + " hold record " +
                     std::to_string(newest.value) + " but its log was read through " +
                     std::to_string(made.applied().value) +
                     " only: the log lost its tail; restore the state folder from a copy"};
  }
  return made;
}

result<void> cut_tables::redo(const storage::log_record& record) {
  working_set rows;
  if (state_->has_cold_rows()) {
    auto needed = state_->open_set(record);
    if (!needed) return needed.error();
    rows = std::move(*needed);
    fetched_rows found;
    for (const working_set::part& part : rows.parts) {
      auto read = store_->read(
          state_->id(), part.table, part.missing, [&](const auto& row) { found.add(row); });
      if (!read) return read;
    }
    if (rows.open) {
      if (auto filled = state_->fill_set(rows, found); !filled) return filled;
    }
  }
  auto done = state_->redo(record);
  state_->close_set(rows);
  return done;
}

result<position_state> cut_tables::position() const {
  return decode_position_state(state_->begin_write_back().position.state, state_->id());
}

}  // namespace headrace::ps
