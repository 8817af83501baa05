#include "bench/gates/gate_options.hpp"
#include "bench/gates/gate_shard.hpp"
#include "storage/segment_log.hpp"

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

/// `bench replay`: two shards redo their logs, each on a thread of its own, from segment files
/// whose pages are in memory. Timed is what a restart does: open the log, which checks every
/// record, read it, decode, and apply. The tables begin empty, so the first pushes of a key make
/// its row. Beside it, the same pushes applied as they come from a worker, without a log.
namespace headrace::bench {
namespace {

constexpr unsigned threads = 2;

using clock_type = std::chrono::steady_clock;

/// The batches of one shard: uniform draws, `rows` in all.
std::vector<std::vector<std::uint64_t>> batches_of(const std::vector<std::uint64_t>& keys,
                                                   std::uint64_t rows,
                                                   std::uint64_t seed) {
  std::vector<std::vector<std::uint64_t>> batches;
  random_stream random(seed);
  std::uint64_t made = 0;
  while (made < rows) {
    batches.push_back(draw_keys(keys, gate_batch_rows, random));
    made += batches.back().size();
  }
  return batches;
}

ps::shard new_shard(const gate_job& job, shard_id id) {
  return {id, schema_of(job), ps::shard_limits{}, epoch{1}};
}

storage::segment_log::options log_in(const std::filesystem::path& folder) {
  storage::segment_log::options how;
  how.folder = folder;
  how.mode = schemas::log_mode::os;
  return how;
}

/// Pushes the batches, and appends each to the log on the way.
result<void> write_log(const gate_job& job,
                       shard_id id,
                       schemas::value_codec codec,
                       const std::vector<std::vector<std::uint64_t>>& batches,
                       const std::filesystem::path& folder) {
  ps::shard state = new_shard(job, id);
  push_source source(job, id, codec);
  auto log = storage::segment_log::open(log_in(folder));
  if (!log) return log.error();
  for (const auto& keys : batches) {
    const auto section = schemas::decode_push(source.next(keys));
    if (!section) return section.error();
    const auto decision = state.decide(*section, 1);
    if (!decision.record) return error{decision.ack.status, decision.ack.detail};
    bool written = false;
    (*log)->append(std::span(&*decision.record, 1),
                   state.applied(),
                   [&](const storage::append_outcome& outcome) {
                     written = outcome.state == storage::append_state::committed;
                   });
    if (!written) return error{errc::io_error, "the log took no more"};
    state.commit(decision.record->lsn);
  }
  return (*log)->close();
}

/// Redoes all of a log; gives the version it led to.
result<std::uint64_t> redo_log(const gate_job& job,
                               shard_id id,
                               const std::filesystem::path& folder) {
  ps::shard state = new_shard(job, id);
  auto log = storage::segment_log::open(log_in(folder));
  if (!log) return log.error();
  result<void> redone;
  const auto read = (*log)->read_from(lsn{1}, [&](const storage::log_record& record) {
    redone = state.redo(record);
    return redone.ok();
  });
  if (!redone) return redone.error();
  if (!read) return read.error();
  return state.version();
}

result<std::uint64_t> push_all(const gate_job& job,
                               shard_id id,
                               schemas::value_codec codec,
                               const std::vector<std::vector<std::uint64_t>>& batches) {
  ps::shard state = new_shard(job, id);
  push_source source(job, id, codec);
  for (const auto& keys : batches) {
    if (auto done = push_without_log(state, source.next(keys)); !done) return done.error();
  }
  return state.version();
}

/// Rows a second of two threads that each apply `batches` batches in `work`.
result<double> rate_of(const std::vector<std::size_t>& batches,
                       const std::function<result<std::uint64_t>(unsigned)>& work) {
  std::vector<result<std::uint64_t>> ends(threads, std::uint64_t{0});
  std::vector<std::thread> running;
  const auto begin = clock_type::now();
  for (unsigned i = 0; i < threads; ++i) running.emplace_back([&, i] { ends[i] = work(i); });
  for (std::thread& each : running) each.join();
  const double seconds = seconds_since(begin);
  std::size_t rows = 0;
  for (unsigned i = 0; i < threads; ++i) {
    if (!ends[i]) return ends[i].error();
    if (*ends[i] != batches[i]) return error{errc::corrupt, "not every push was applied"};
    rows += batches[i] * gate_batch_rows;
  }
  return static_cast<double>(rows) / seconds;
}

result<gate_point> replay(const gate_options& asked,
                          schemas::value_codec codec,
                          schemas::optimizer_kind optimizer,
                          std::string what) {
  gate_job job;
  job.shards = threads;
  job.optimizer = optimizer;
  gate_point point{.what = std::move(what), .unit = "rows/s"};
  point.beside = "the same pushes from workers, no log";
  point.kind = gate_kind::at_least;
  point.gate = 5e6;
  std::vector<std::vector<std::vector<std::uint64_t>>> batches;
  std::vector<std::size_t> counts;
  const auto folder = [&](unsigned i) { return asked.dir / ("log-" + std::to_string(i)); };
  for (unsigned i = 0; i < threads; ++i) {
    batches.push_back(
        batches_of(keys_on(shard_id{i}, threads, asked.rows), asked.tail_rows / threads, 42 + i));
    counts.push_back(batches.back().size());
    if (auto written = write_log(job, shard_id{i}, codec, batches.back(), folder(i)); !written)
      return written.error();
  }
  for (std::uint32_t round = 0; round < asked.rounds; ++round) {
    const auto ours =
        rate_of(counts, [&](unsigned i) { return redo_log(job, shard_id{i}, folder(i)); });
    if (!ours) return ours.error();
    const auto others =
        rate_of(counts, [&](unsigned i) { return push_all(job, shard_id{i}, codec, batches[i]); });
    if (!others) return others.error();
    point.ours.push_back(*ours);
    point.others.push_back(*others);
  }
  for (unsigned i = 0; i < threads; ++i) std::filesystem::remove_all(folder(i));
  return point;
}

}  // namespace

result<gate_report> measure_replay(const gate_options& asked) {
  using schemas::optimizer_kind;
  using schemas::value_codec;
  gate_report report;
  report.bench = "replay";
  report.workload = "2 threads with a shard and a segment log each, " +
                    std::to_string(asked.tail_rows) +
                    " rows pushed in batches of 4096 uniform of " + std::to_string(asked.rows) +
                    ", 64 floats; open, check, read and apply";
  auto int8 = replay(asked, value_codec::int8, optimizer_kind::adagrad, "int8 + adagrad");
  if (!int8) return int8.error();
  auto fp32 = replay(asked, value_codec::fp32, optimizer_kind::add, "fp32 + add");
  if (!fp32) return fp32.error();
  report.points = {std::move(*int8), std::move(*fp32)};
  return report;
}

}  // namespace headrace::bench
