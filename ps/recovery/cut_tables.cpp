#include "ps/recovery/cut_tables.hpp"

#include "base/check.hpp"
#include "ps/shard/durable_shard.hpp"
#include "ps/shard/redo_window.hpp"
#include "schemas/push.hpp"

#include <span>
#include <string>
#include <utility>

namespace headrace::ps {
namespace {

/// Whether it is a push of the source; voids of it changed no row, and stay.
bool is_of(const storage::log_record& record, const std::string& source, std::uint64_t from_ms) {
  if (record.kind != storage::record_kind::push || record.stamp_ms < from_ms) return false;
  const auto section = schemas::decode_push(record.payload);
  return section.ok() && section->source.name == source;
}

/// The record as if its push had brought nothing.
storage::log_record emptied(const storage::log_record& record) {
  auto section = schemas::decode_push(record.payload);
  CHECK(section.ok());
  section->blocks.clear();
  storage::log_record empty = record;
  empty.kind = storage::record_kind::advance;
  empty.decisions = {};
  empty.payload = schemas::encode(*section);
  return empty;
}

}  // namespace

result<cut_tables> cut_tables::open(shard_id id,
                                    const schemas::job_schema& schema,
                                    storage::row_store& store,
                                    storage::ordered_log& log,
                                    lsn through) {
  cut_tables made(std::make_unique<shard>(id, schema, shard_limits{}, headrace::epoch{1}), store);
  if (auto done = made.read(log, through, nullptr); !done) return done.error();
  return made;
}

result<cut_tables> cut_tables::open_without(shard_id id,
                                            const schemas::job_schema& schema,
                                            storage::row_store& store,
                                            storage::ordered_log& log,
                                            lsn through,
                                            const without& left_out) {
  cut_tables made(std::make_unique<shard>(id, schema, shard_limits{}, headrace::epoch{1}), store);
  if (auto done = made.read(log, through, &left_out); !done) return done.error();
  return made;
}

result<void> cut_tables::read(storage::ordered_log& log, lsn through, const without* left_out) {
  const auto position = state_->load_position(*store_);
  if (!position) return position.error();
  redo_window window(*state_, *store_, durability_options{}.rows_per_batch);
  result<void> redone;
  if (through > *position) {
    auto read = log.read_from(lsn{position->value + 1}, [&](const storage::log_record& record) {
      if (record.lsn > through) return false;
      const bool deciding = left_out != nullptr && record.lsn > left_out->decide_after;
      const bool is_out = left_out != nullptr && is_of(record, left_out->source, left_out->from_ms);
      if (is_out) ++left_out_;
      redone = window.add(is_out ? emptied(record) : record, deciding);
      return redone.ok() && record.lsn < through;
    });
    if (redone) redone = window.finish();
    if (!redone) return redone;
    if (!read) return read;
  }
  if (const lsn newest = state_->newest_row(); newest > applied()) {
    return error{errc::corrupt,
                 "rows of shard " + std::to_string(state_->id().value) + " hold record " +
                     std::to_string(newest.value) + " but its log was read through " +
                     std::to_string(applied().value) +
                     " only: the log lost its tail; restore the state folder from a copy"};
  }
  return {};
}

result<void> cut_tables::install(lsn at, const position_state& before, bool retrain) {
  if (auto written = state_->write_rows(*store_); !written) return written;
  return store_->commit(state_->id(), state_->install_at(at, before, retrain));
}

result<position_state> cut_tables::position() const {
  return decode_position_state(state_->begin_write_back().position.state, state_->id());
}

}  // namespace headrace::ps
