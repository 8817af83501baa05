#include "base/check.hpp"
#include "base/random.hpp"
#include "ps/delta/delta_builder.hpp"
#include "ps/shard/test_push.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <unordered_set>
#include <vector>

// Pushes of 4,096 uniform int8 rows of 64 columns on 1 M rows under Adagrad, as in
// ps/shard/shard.bench.cpp, with 0, 1 and 4 feeds that take and acknowledge a delta every `period`
// pushes; then building a delta alone. Counters: pushed rows/s, rows sent/s, bytes a row sent.
//   ninja -C build/release ps_bench && build/release/bin/ps_bench --benchmark_filter=delta
namespace headrace::ps {
namespace {

constexpr std::uint64_t table_rows = 1'000'000;
constexpr std::size_t batch_rows = 4'096;
constexpr std::uint32_t dim = 64;

std::uint64_t key_of(std::uint64_t rank) { return mix64(rank) >> 1; }

struct followed {
  followed()
      : state(shard_id{0},
              one_table(schemas::optimizer_kind::adagrad, dim),
              shard_limits{},
              headrace::epoch{1}),
        codecs(schemas::delta_codecs(state.schema())),
        changes(delta_row_bytes(state.schema(), codecs)) {
    std::vector<std::uint64_t> keys;
    for (std::uint64_t rank = 1; rank <= table_rows; ++rank) keys.push_back(key_of(rank));
    std::ranges::sort(keys);
    for (std::size_t from = 0; from < keys.size(); from += batch_rows) {
      const auto to = std::min(keys.size(), from + batch_rows);
      push(section_for({keys.begin() + static_cast<std::ptrdiff_t>(from),
                        keys.begin() + static_cast<std::ptrdiff_t>(to)}));
    }
    random_stream random(42);
    for (int i = 0; i < 64; ++i) {
      std::unordered_set<std::uint64_t> drawn;
      while (drawn.size() < batch_rows) drawn.insert(key_of(1 + random.next_below(table_rows)));
      std::vector<std::uint64_t> sorted(drawn.begin(), drawn.end());
      std::ranges::sort(sorted);
      sections.push_back(section_for(std::move(sorted)));
    }
    state.report_changes(&changes);
  }
  static schemas::push_section section_for(std::vector<std::uint64_t> keys) {
    block_data block;
    block.dim = dim;
    block.codes.assign(keys.size() * dim, 3);
    block.scales.assign(keys.size(), 0x1400);  // 2^-10
    block.keys = std::move(keys);
    return received(section_of({"bench", 1}, 1, 0, {block}));
  }
  void push(schemas::push_section section) {
    section.prev = batch_number{batch++};
    section.batch = batch_number{batch};
    const auto decision = state.decide(section, 0);
    CHECK(decision.record.has_value());
    CHECK(state.commit(decision.record->lsn).applied);
  }
  void push_next() { push(sections[batch % sections.size()]); }
  /// Takes what there is; rows and bytes are added up.
  void drain(delta_feed& feed) {
    while (const auto plan = changes.plan(feed, 0)) {
      bytes += build_delta(state, *plan, codecs).size();
      rows += plan->rows();
      feed.acknowledge(plan->number);
    }
  }

  shard state;
  std::vector<schemas::value_codec> codecs;
  change_index changes;
  std::vector<schemas::push_section> sections;
  std::uint64_t batch = 0;
  std::uint64_t rows = 0;
  std::uint64_t bytes = 0;
};

followed& one_shard() {
  static followed made;
  made.rows = made.bytes = 0;
  return made;
}

void report(benchmark::State& state, const followed& of, std::size_t pushed) {
  using benchmark::Counter;
  state.counters["pushed"] = Counter(static_cast<double>(pushed), Counter::kIsRate);
  state.counters["sent"] = Counter(static_cast<double>(of.rows), Counter::kIsRate);
  if (of.rows > 0)
    state.counters["bytes_per_row"] = static_cast<double>(of.bytes) / static_cast<double>(of.rows);
}

void push_with_deltas(benchmark::State& state) {
  followed& shard = one_shard();
  const auto period = static_cast<std::uint64_t>(state.range(1));
  std::vector<delta_feed*> feeds;
  for (std::int64_t i = 0; i < state.range(0); ++i) {
    feeds.push_back(&begin_feed(shard.changes, shard.state, 1 + static_cast<std::uint64_t>(i)));
    shard.drain(*feeds.back());
  }
  shard.rows = shard.bytes = 0;
  std::uint64_t pushes = 0;
  for (auto _ : state) {
    shard.push_next();
    if (++pushes % period != 0) continue;
    for (delta_feed* feed : feeds) shard.drain(*feed);
  }
  for (delta_feed* feed : feeds) shard.changes.close(*feed);
  report(state, shard, static_cast<std::size_t>(state.iterations()) * batch_rows);
}
BENCHMARK(push_with_deltas)
    ->ArgNames({"feeds", "period"})
    ->Args({0, 8})
    ->Args({1, 8})
    ->Args({4, 8})
    ->Args({1, 64});

/// Only what the push itself pays for being followed: no delta is built.
void push_told(benchmark::State& state) {
  followed& shard = one_shard();
  delta_feed& feed = begin_feed(shard.changes, shard.state, 1);
  for (auto _ : state) shard.push_next();
  shard.changes.close(feed);
  report(state, shard, static_cast<std::size_t>(state.iterations()) * batch_rows);
}
BENCHMARK(push_told);

void build_of_a_snapshot(benchmark::State& state) {
  followed& shard = one_shard();
  for (auto _ : state) {
    delta_feed& feed = begin_feed(shard.changes, shard.state, 1);
    shard.drain(feed);
    shard.changes.close(feed);
  }
  report(state, shard, 0);
}
BENCHMARK(build_of_a_snapshot)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace headrace::ps
