#include "base/zipf.hpp"
#include "bench/gates/gate_options.hpp"
#include "bench/gates/gate_store.hpp"
#include "ps/cache/cache_policy.hpp"
#include "schemas/pull.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <deque>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

/// `bench tier`: one table of which a share of the rows lies in DRAM and all of them in RocksDB.
/// Batches of 4096 different keys, Zipf 0.99, are pulled and then pushed (fp32, add) through a
/// durable shard with its log and its I/O pool, eight batches at a time; each row counts once. The
/// first half warms up. Beside it, the same load where all rows lie in DRAM, logged and written
/// back as well, and where nothing is written back, which shows what of the price is write-back;
/// and the hit ratio of the pulls beside that of cache policies, simulated on the
/// same keys with as many entries as there were rows in DRAM.
namespace headrace::bench {
namespace {

constexpr std::size_t depth = 8;
constexpr std::size_t batches_a_tick = 64;
constexpr std::size_t counts_of_rows = 8;  // of those in DRAM, over the timed half
constexpr std::chrono::milliseconds patience{60'000};

using clock_type = std::chrono::steady_clock;
using batch_list = std::vector<std::vector<std::uint64_t>>;

/// Twice as many uses as there are rows.
batch_list draw_batches(std::uint64_t rows) {
  const zipf_rejection_inversion draw(0.99, rows);
  random_stream random(42);
  batch_list batches(std::max<std::uint64_t>(2 * counts_of_rows, 2 * rows / gate_batch_rows));
  std::unordered_set<std::uint64_t> drawn;
  for (auto& batch : batches) {
    drawn.clear();
    while (drawn.size() < gate_batch_rows) drawn.insert(mix64(draw(random)) >> 1);
    batch.assign(drawn.begin(), drawn.end());
    std::sort(batch.begin(), batch.end());
  }
  return batches;
}

/// Of the second half of the batches.
struct outcome {
  double rows_per_second = 0;
  double hit_ratio = 0;
  double rows_in_dram = 0;  // mean
};

/// Takes batches through a shard: each is pulled, then pushed.
class load {
 public:
  load(ps::durable_shard& shard, gate_inbox& inbox, push_source& source, const batch_list& batches)
      : shard_(shard), inbox_(inbox), source_(source), batches_(batches) {}

  result<outcome> run() {
    const std::size_t half = batches_.size() / 2;
    if (auto warm = run_to(half); !warm) return warm.error();
    const std::uint64_t hits_before = hits_;
    double seconds = 0;
    double rows = 0;
    for (std::size_t part = 1; part <= counts_of_rows; ++part) {
      const auto begin = clock_type::now();
      if (auto done = run_to(half + (batches_.size() - half) * part / counts_of_rows); !done)
        return done.error();
      seconds += seconds_since(begin);
      rows += static_cast<double>(rows_in_dram());
    }
    const auto used = static_cast<double>((batches_.size() - half) * gate_batch_rows);
    return outcome{
        used / seconds, static_cast<double>(hits_ - hits_before) / used, rows / counts_of_rows};
  }

 private:
  /// Until `end` batches were pushed and acknowledged.
  result<void> run_to(std::size_t end) {
    while (done_ < end && !failure_) {
      if (!pulled_.empty()) {
        push(pulled_.front());
      } else if (begun_ < end && begun_ - done_ < depth) {
        pull(begun_++);
      } else if (!inbox_.run_next(patience)) {
        return error{errc::timeout, "a batch was not answered"};
      }
      if (shard_.failed()) return *shard_.failure();
    }
    if (failure_) return *failure_;
    return {};
  }
  void pull(std::size_t batch) {
    const std::uint64_t before = shard_.state().seen().hits;
    shard_.pull(pull_of(shard_.state().id(), batches_[batch], schemas::value_codec::fp32),
                [this, batch](const frame& bytes) {
                  const auto reply = schemas::decode_pull_reply(bytes);
                  note(reply ? reply->status : reply.error().code,
                       reply ? reply->detail : reply.error().detail);
                  pulled_.push_back(batch);
                });
    hits_ += shard_.state().seen().hits - before;
  }
  void push(std::size_t batch) {
    pulled_.pop_front();
    shard_.push(source_.next(batches_[batch]), [this](const frame& bytes) {
      const auto ack = schemas::decode_push_ack(bytes);
      note(ack ? ack->status : ack.error().code, ack ? ack->detail : ack.error().detail);
      ++done_;
    });
    if (++pushed_ % batches_a_tick == 0) shard_.tick();
  }
  void note(errc status, const std::string& detail) {
    if (status != errc::ok && !failure_) failure_ = error{status, detail};
  }
  std::size_t rows_in_dram() const {
    std::size_t rows = 0;
    shard_.state().visit(table_id{0},
                         [&](row_key, std::uint32_t, std::span<const float>) { ++rows; });
    return rows;
  }

  ps::durable_shard& shard_;
  gate_inbox& inbox_;
  push_source& source_;
  const batch_list& batches_;
  std::deque<std::size_t> pulled_;  // and not pushed yet
  std::size_t begun_ = 0;
  std::size_t pushed_ = 0;
  std::size_t done_ = 0;
  std::uint64_t hits_ = 0;
  std::optional<error> failure_;
};

/// Builds the store anew and takes the load through it.
result<outcome> run_load(const gate_options& asked,
                         const gate_job& job,
                         const batch_list& batches,
                         bool bounded_tail = true) {
  const auto folder = asked.dir / "tier";
  std::error_code ignored;
  std::filesystem::remove_all(folder, ignored);
  std::filesystem::create_directories(folder);
  auto store = gate_store::open(folder, job.memory_bytes > 0);
  if (!store) return store.error();
  push_source source(job, shard_id{0}, schemas::value_codec::fp32);
  {
    const auto keys = keys_on(shard_id{0}, 1, asked.rows);
    if (auto built = build_shard(**store, job, shard_id{0}, source, keys, {}); !built)
      return built.error();
  }
  gate_inbox inbox;
  auto shard = (*store)->open_shard(job, shard_id{0}, inbox, bounded_tail);
  if (!shard) return shard.error();
  while (job.memory_bytes == 0 && (*shard)->state().has_cold_rows()) {
    if (!inbox.run_next(patience)) return error{errc::timeout, "the rows were not read"};
  }
  auto found = load(**shard, inbox, source, batches).run();
  shard->reset();
  store->reset();
  std::filesystem::remove_all(folder, ignored);
  return found;
}

/// Hit ratio of a policy on the second half.
double simulate(ps::cache_policy_kind kind, std::size_t entries, const batch_list& batches) {
  const auto policy = ps::make_cache_policy(kind, entries, 7);
  std::uint64_t hits = 0;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    for (const std::uint64_t key : batches[i]) {
      const bool hit = policy->access(key);
      if (hit && i >= batches.size() / 2) ++hits;
    }
  }
  const auto uses = (batches.size() - batches.size() / 2) * gate_batch_rows;
  return static_cast<double>(hits) / static_cast<double>(uses);
}

std::string number(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

/// The hit ratio beside that of the best policy with so many entries, in points behind it.
gate_point compare_policies(const std::vector<double>& ratios,
                            double entries,
                            const batch_list& batches) {
  gate_point point{.what = "hit ratio, points behind the best policy", .unit = "points"};
  point.what += number(" of %.0f entries", entries);
  double best = 0;
  for (const auto kind : ps::cache_policy_kinds) {
    const double ratio = simulate(kind, static_cast<std::size_t>(entries), batches);
    best = std::max(best, ratio);
    point.note += std::string(ps::name(kind)) + number(" %.4f, ", ratio);
  }
  for (const double ratio : ratios) point.ours.push_back(100 * (best - ratio));
  point.note += number("ours %.4f", summarize(ratios).median);
  return point;
}

}  // namespace

result<gate_report> measure_tier(const gate_options& asked) {
  gate_report report;
  report.bench = "tier";
  report.workload = std::to_string(asked.rows) + " rows of " + std::to_string(asked.dim) +
                    " floats, " + number("%.1f", 100 * asked.share) +
                    " % of them in DRAM, Zipf 0.99, batch 4096, depth 8, pull and push fp32 + "
                    "add, 1 shard, mode os, RocksDB";
  gate_job all;
  all.dim = asked.dim;
  gate_job tiered = all;
  const double row_bytes = 32 + 4.0 * (asked.dim + asked.dim % 2) + 25;  // with its index
  tiered.memory_bytes =
      static_cast<std::uint64_t>(asked.share * static_cast<double>(asked.rows) * row_bytes);
  const batch_list batches = draw_batches(asked.rows);
  gate_point rate{.what = "pull and push", .unit = "rows/s", .beside = "all rows in DRAM"};
  rate.kind = gate_kind::ratio_at_least;
  rate.gate = 0.12;
  gate_point unwritten = rate;
  unwritten.beside = "all rows in DRAM, nothing written back";
  std::vector<double> ratios;
  double rows_in_dram = 0;
  for (std::uint32_t round = 0; round < asked.rounds; ++round) {
    const auto ours = run_load(asked, tiered, batches);
    if (!ours) return ours.error();
    const auto others = run_load(asked, all, batches);
    if (!others) return others.error();
    const auto free = run_load(asked, all, batches, false);
    if (!free) return free.error();
    rate.ours.push_back(ours->rows_per_second);
    rate.others.push_back(others->rows_per_second);
    unwritten.ours.push_back(ours->rows_per_second);
    unwritten.others.push_back(free->rows_per_second);
    ratios.push_back(ours->hit_ratio);
    rows_in_dram += ours->rows_in_dram / asked.rounds;
  }
  // The budget is what was asked for; more rows than it holds wait in DRAM to be written back.
  gate_point asked_for =
      compare_policies(ratios, asked.share * static_cast<double>(asked.rows), batches);
  gate_point had = compare_policies(ratios, rows_in_dram, batches);
  had.what += ", as many as rows lay in DRAM on average";
  had.kind = gate_kind::at_most;
  had.gate = 1;
  report.points = {std::move(rate), std::move(unwritten), std::move(had), std::move(asked_for)};
  return report;
}

}  // namespace headrace::bench
