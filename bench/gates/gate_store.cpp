#include "bench/gates/gate_store.hpp"

#include "storage/segment_log.hpp"

#include <string>
#include <utility>

namespace headrace::bench {
namespace {

constexpr unsigned io_threads = 4;  // as the product's server has

result<std::unique_ptr<storage::segment_log>> open_log(const gate_store& store,
                                                       shard_id id,
                                                       lsn flushed) {
  storage::segment_log::options how;
  how.folder = store.folder / ("shard-" + std::to_string(id.value));
  how.mode = schemas::log_mode::os;
  how.continue_after = flushed;
  return storage::segment_log::open(std::move(how));
}

result<void> append_push(ps::shard& to, storage::ordered_log& log, const frame& section) {
  const auto decoded = schemas::decode_push(section);
  if (!decoded) return decoded.error();
  const auto decision = to.decide(*decoded, 1);
  if (!decision.record) return error{decision.ack.status, decision.ack.detail};
  bool written = false;
  log.append(
      std::span(&*decision.record, 1), to.applied(), [&](const storage::append_outcome& outcome) {
        written = outcome.state == storage::append_state::committed;
      });
  if (!written) return error{errc::io_error, "the log took no more"};
  to.commit(decision.record->lsn);
  return {};
}

}  // namespace

result<std::unique_ptr<gate_store>> gate_store::open(const std::filesystem::path& folder,
                                                     bool cold_rows) {
  auto made = std::make_unique<gate_store>();
  made->folder = folder;
  made->pool = std::make_unique<storage::io_pool>(io_threads);
  storage::rocks_row_store::options how;
  how.path = folder / "rows";
  how.pool = made->pool.get();
  how.compress_oldest = cold_rows;  // as the product's server does
  auto rows = storage::rocks_row_store::open(std::move(how));
  if (!rows) return rows.error();
  made->rows = std::move(*rows);
  return made;
}

result<std::unique_ptr<ps::durable_shard>> gate_store::open_shard(const gate_job& job,
                                                                  shard_id id,
                                                                  gate_inbox& inbox,
                                                                  bool bounded_tail) {
  const auto position = rows->position(id);
  if (!position) return position.error();
  auto log = open_log(*this, id, position->flushed);
  if (!log) return log.error();
  ps::durable_shard::parts parts;
  parts.state =
      std::make_unique<ps::shard>(id, schema_of(job), ps::shard_limits{}, headrace::epoch{1});
  parts.log = std::move(*log);
  parts.rows = rows.get();
  parts.time = &time;
  parts.io = std::make_unique<gate_background>(*pool, inbox);
  parts.how.mode = schemas::log_mode::os;
  parts.how.truncate = true;
  if (!bounded_tail) {
    parts.how.tail_rows_max = UINT64_MAX;
    parts.how.tail_bytes_max = UINT64_MAX;
  }
  return ps::durable_shard::open(std::move(parts));
}

result<void> build_shard(gate_store& store,
                         const gate_job& job,
                         shard_id id,
                         push_source& source,
                         std::span<const std::uint64_t> keys,
                         std::span<const std::vector<std::uint64_t>> tail) {
  gate_job roomy = job;
  roomy.memory_bytes = 0;
  ps::shard state(id, schema_of(roomy), ps::shard_limits{}, headrace::epoch{1});
  if (auto filled = fill(state, source, keys); !filled) return filled;
  const auto flushed = state.flush(*store.rows);
  if (!flushed) return flushed.error();
  auto log = open_log(store, id, *flushed);
  if (!log) return log.error();
  for (const auto& batch : tail) {
    if (auto pushed = append_push(state, **log, source.next(batch)); !pushed) return pushed;
  }
  return (*log)->close();
}

}  // namespace headrace::bench
