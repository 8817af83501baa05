#include "tests/simulation/checkpoint.hpp"

#include "tests/simulation/shard_under_test.hpp"

#include <span>
#include <utility>

namespace headrace::simulation {

result<std::unique_ptr<ps::shard>> restore(shard_id shard,
                                           const schemas::job_schema& schema,
                                           storage::row_store& rows,
                                           const storage::memory_log::contents& log) {
  auto state = new_state(shard, schema);
  if (auto loaded = state->load(rows); !loaded) return loaded.error();
  for (const storage::log_record& record : log.records) {
    if (auto redone = state->redo(record); !redone) return redone.error();
  }
  return state;
}

result<std::unique_ptr<checkpoint>> checkpoint::take(shard_id shard, storage::row_store& from) {
  std::unique_ptr<checkpoint> made(new checkpoint(shard));
  const auto scanned = from.scan(shard, [&](const storage::stored_row& row) {
    static_cast<void>(made->rows_.write(shard, std::span(&row, 1)));
  });
  if (!scanned) return scanned.error();
  const auto position = from.position(shard);
  if (!position) return position.error();
  if (auto done = made->rows_.commit(shard, *position); !done) return done.error();
  made->log_from_ = lsn{position->flushed.value + 1};
  return made;
}

oracle::verdict checkpoint::check(const oracle& judge,
                                  const schemas::job_schema& schema,
                                  const storage::memory_log::contents& log) {
  const auto restored = restore(shard_, schema, rows_, log);
  if (!restored) return "a checkpoint cannot be restored: " + describe(restored.error());
  const ps::shard& state = **restored;
  return judge.check_replay(state.digest(), state.version(), state.applied(), schema);
}

}  // namespace headrace::simulation
