#include "base/zipf.hpp"
#include "bench/gates/gate_options.hpp"
#include "bench/gates/gate_store.hpp"
#include "ps/table/huge_region.hpp"
#include "schemas/pull.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

/// `bench restart`: a server whose rows lie in RocksDB and whose logs hold a tail that the rows do
/// not, as kill -9 leaves it: two shards, each on a thread of its own, one I/O pool. Timed from
/// before the store is opened: until both shards have answered a first pull (4096 uniform keys),
/// and until every row lies in DRAM. Files are in the page cache; building them is not timed.
/// Beside it, a plain scan of the same rows on one thread.
///
/// The server that was killed had the memory that the new one takes. So the bench touches as much
/// first and gives it back; how long that takes is printed. A virtual machine may need 3 s for a
/// gigabyte when its host hands it out for the first time, and takes free memory back by itself.
namespace headrace::bench {
namespace {

constexpr std::uint32_t shards = 2;
constexpr std::chrono::milliseconds patience{60'000};

using clock_type = std::chrono::steady_clock;

/// Batches of different keys, Zipf 0.99 over `keys` in their order: what online traffic pushes.
std::vector<std::vector<std::uint64_t>> zipf_batches(std::span<const std::uint64_t> keys,
                                                     std::uint64_t rows,
                                                     std::uint64_t seed) {
  const zipf_rejection_inversion draw(0.99, keys.size());
  random_stream random(seed);
  std::vector<std::vector<std::uint64_t>> batches;
  for (std::uint64_t left = rows / gate_batch_rows; left > 0; --left) {
    std::unordered_set<std::uint64_t> drawn;
    while (drawn.size() < gate_batch_rows) drawn.insert(keys[draw(random) - 1]);
    auto& batch = batches.emplace_back(drawn.begin(), drawn.end());
    std::sort(batch.begin(), batch.end());
  }
  return batches;
}

/// The files of both shards; gives a pull for each.
result<std::vector<frame>> build(const gate_options& asked, const gate_job& job) {
  auto store = gate_store::open(asked.dir);
  if (!store) return store.error();
  std::vector<frame> pulls;
  for (std::uint32_t i = 0; i < shards; ++i) {
    const auto keys = keys_on(shard_id{i}, shards, asked.rows);
    const auto tail = zipf_batches(keys, asked.tail_rows / shards, 42 + i);
    push_source source(job, shard_id{i}, schemas::value_codec::int8);
    if (auto built = build_shard(**store, job, shard_id{i}, source, keys, tail); !built)
      return built.error();
    random_stream random(7 + i);
    pulls.push_back(
        pull_of(shard_id{i}, draw_keys(keys, gate_batch_rows, random), schemas::value_codec::fp32));
  }
  if (auto done = (*store)->rows->compact(); !done) return done.error();
  return pulls;
}

struct times {
  double opened = 0;  // the shards' logs are redone
  double serving = 0;
  double resident = 0;
};

/// One shard from its files to all rows in DRAM; the store is open.
result<times> restart_shard(gate_store& store,
                            const gate_job& job,
                            shard_id id,
                            const frame& pull,
                            clock_type::time_point begin) {
  times found;
  gate_inbox inbox;
  auto shard = store.open_shard(job, id, inbox);
  if (!shard) return shard.error();
  found.opened = seconds_since(begin);
  result<void> answered = error{errc::timeout, "the first pull was not answered"};
  bool waiting = true;
  (*shard)->pull(pull, [&](const frame& bytes) {
    waiting = false;
    const auto reply = schemas::decode_pull_reply(bytes);
    if (!reply) {
      answered = reply.error();
    } else if (reply->status != errc::ok) {
      answered = error{reply->status, reply->detail};
    } else {
      answered = {};
    }
  });
  while (waiting && inbox.run_next(patience)) {
  }
  if (!answered) return answered.error();
  found.serving = seconds_since(begin);
  while ((*shard)->state().has_cold_rows() && inbox.run_next(patience)) {
  }
  if (const auto& why = (*shard)->failure()) return *why;
  found.resident = seconds_since(begin);
  return found;
}

/// Memory like that of a server which is killed when this returns; gives the seconds of touching
/// it.
double hold_and_lose_memory(std::uint64_t rows) {
  constexpr std::size_t row_bytes = 330;  // with the index: bench memory
  constexpr std::size_t small_page = 4096;
  const auto begin = clock_type::now();
  const ps::huge_region memory(rows * row_bytes);
  for (std::size_t at = 0; at < memory.size(); at += small_page) memory.data()[at] = std::byte{1};
  return seconds_since(begin);
}

/// A restart of the server: the slowest shard of each.
result<times> restart(const gate_options& asked,
                      const gate_job& job,
                      const std::vector<frame>& pulls) {
  const auto begin = clock_type::now();
  auto store = gate_store::open(asked.dir);
  if (!store) return store.error();
  std::array<result<times>, shards> ends = {times{}, times{}};
  std::vector<std::thread> running;
  for (std::uint32_t i = 0; i < shards; ++i) {
    running.emplace_back(
        [&, i] { ends[i] = restart_shard(**store, job, shard_id{i}, pulls[i], begin); });
  }
  for (std::thread& each : running) each.join();
  times slowest;
  for (const auto& one : ends) {
    if (!one) return one.error();
    slowest.opened = std::max(slowest.opened, one->opened);
    slowest.serving = std::max(slowest.serving, one->serving);
    slowest.resident = std::max(slowest.resident, one->resident);
  }
  return slowest;
}

/// Seconds to open the store and look at every row of both shards, one after the other.
result<double> scan(const gate_options& asked) {
  const auto begin = clock_type::now();
  auto store = gate_store::open(asked.dir);
  if (!store) return store.error();
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
  for (std::uint32_t i = 0; i < shards; ++i) {
    const auto done = (*store)->rows->scan(shard_id{i}, [&](const storage::stored_row& row) {
      ++rows;
      bytes += row.payload.size();
    });
    if (!done) return done.error();
  }
  if (rows < asked.rows || bytes == 0) return error{errc::corrupt, "the scan missed rows"};
  return seconds_since(begin);
}

}  // namespace

result<gate_report> measure_restart(const gate_options& asked) {
  gate_report report;
  report.bench = "restart";
  report.workload = std::to_string(asked.rows) + " rows of 64 floats in RocksDB, " +
                    std::to_string(asked.tail_rows) +
                    " rows of int8 pushes in the logs (Zipf 0.99, batch 4096), 2 shards, " +
                    "files in the page cache";
  gate_job job;
  job.shards = shards;
  const auto pulls = build(asked, job);
  if (!pulls) return pulls.error();
  gate_point opened{.what = "logs redone", .unit = "s"};
  gate_point touched{.what = "as much memory touched before, by one thread", .unit = "s"};
  gate_point serving{.what = "first pull answered by both shards", .unit = "s"};
  serving.kind = gate_kind::at_most;
  serving.gate = 2;
  gate_point resident{.what = "all rows in DRAM", .unit = "s", .beside = "scan on one thread"};
  resident.kind = gate_kind::at_most;
  resident.gate = 8;
  for (std::uint32_t round = 0; round < asked.rounds; ++round) {
    touched.ours.push_back(hold_and_lose_memory(asked.rows));
    const auto found = restart(asked, job, *pulls);
    if (!found) return found.error();
    const auto scanned = scan(asked);
    if (!scanned) return scanned.error();
    opened.ours.push_back(found->opened);
    serving.ours.push_back(found->serving);
    resident.ours.push_back(found->resident);
    resident.others.push_back(*scanned);
  }
  report.points = {std::move(opened), std::move(serving), std::move(resident), std::move(touched)};
  return report;
}

}  // namespace headrace::bench
