#include "worker/windows/window_table.hpp"

#include "base/random.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <deque>
#include <unordered_map>
#include <utility>

/// Events a second: each asks for its key's window of an hour and then counts in it. A million keys
/// drawn with skew, 1,000 events a second of event time. `peer` is what one writes with the
/// standard library for events in order: a hash map of deques, without bounds or late events.
namespace headrace::worker {
namespace {

constexpr std::uint64_t hour_ms = 3'600'000;
constexpr std::uint64_t keys = 1'000'000;

/// Half of the events are of a thousandth of the keys.
std::uint64_t key_of(std::uint64_t i) {
  const std::uint64_t draw = mix64(i);
  return mix64(draw % 2 == 0 ? draw % 1'000 : draw % keys);
}

void exact(benchmark::State& state, bool sums) {
  window_bounds how;
  how.over_ms = hour_ms;
  how.out_of_order_ms = 200;
  window_table table(how);
  std::uint64_t i = 0;
  double all = 0.0;
  const auto step = [&] {
    const std::uint64_t time = 10 * hour_ms + i - counter_draw(5, i, 0) % 200;
    const std::uint64_t key = key_of(i++);
    table.advance(time);
    const auto window = table.window({key, 0}, time);
    all += sums ? sum_of(window) : static_cast<double>(window.size());
    table.add({key, 0}, {time, std::bit_cast<std::uint64_t>(1.5)});
  };
  while (i < hour_ms) step();
  for (auto _ : state) step();
  benchmark::DoNotOptimize(all);
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
  state.counters["keys"] = static_cast<double>(table.keys());
}

void window_count(benchmark::State& state) { exact(state, false); }
void window_sum(benchmark::State& state) { exact(state, true); }

void window_count_peer(benchmark::State& state) {
  std::unordered_map<std::uint64_t, std::deque<std::uint64_t>> table;
  std::uint64_t i = 0;
  std::uint64_t all = 0;
  const auto step = [&] {
    const std::uint64_t time = 10 * hour_ms + i;
    auto& times = table[key_of(i++)];
    while (!times.empty() && times.front() + hour_ms <= time) times.pop_front();
    all += times.size();
    times.push_back(time);
  };
  while (i < hour_ms) step();
  for (auto _ : state) step();
  benchmark::DoNotOptimize(all);
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}

BENCHMARK(window_count)->MinTime(1.0);
BENCHMARK(window_sum)->MinTime(1.0);
BENCHMARK(window_count_peer)->MinTime(1.0);

}  // namespace
}  // namespace headrace::worker
