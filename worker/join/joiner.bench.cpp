#include "worker/join/joiner.hpp"

#include "base/check.hpp"
#include "base/random.hpp"
#include "storage/rocks_spill_store.hpp"
#include "storage/temporary_folder.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

/// Events a second through the joiner with about a million impressions pending: payloads of 300
/// bytes, one impression in ten with an action, some seconds out of order. `peer` is what one
/// writes with the standard library: a hash map by key and a multimap by time.
namespace headrace::worker {
namespace {

constexpr std::uint64_t per_ms = 100;  // impressions: 100,000 a second of event time
constexpr std::uint64_t window_ms = 10'000;
constexpr std::uint64_t out_of_order_ms = 200;
constexpr std::size_t payload_bytes = 300;

/// Impression i, and what came of it 1 … window_ms later.
class event_stream {
 public:
  event_stream() {
    for (std::size_t i = 0; i < payload_.size(); ++i)
      payload_[i] = static_cast<std::byte>(counter_draw(9, 0, i));
  }
  /// Calls `impression(key, time, payload)` or `action(key, time)`; an action for each tenth.
  template <class Impression, class Action>
  void next(Impression impression, Action action) {
    const std::uint64_t time = 1'000'000 + i_ / per_ms;
    if (const std::uint64_t back = counter_draw(4, i_, 0) % (per_ms * window_ms);
        i_ % 10 == 0 && i_ > back) {
      action(key_of(i_ - back), time);
    }
    impression(key_of(i_), time - counter_draw(5, i_, 0) % out_of_order_ms, payload_);
    ++i_;
  }
  std::uint64_t events() const { return i_ + i_ / 10; }

 private:
  std::string_view key_of(std::uint64_t i) {
    const int size = std::snprintf(
        key_.data(), key_.size(), "%016llx", static_cast<unsigned long long>(mix64(i)));
    return {key_.data(), static_cast<std::size_t>(size)};
  }
  std::array<char, 32> key_{};
  std::array<std::byte, payload_bytes> payload_{};
  std::uint64_t i_ = 0;
};

join_spec bench_spec() {
  join_spec how;
  how.window_ms = window_ms;
  how.out_of_order_ms = out_of_order_ms;
  how.pending_max = 4'000'000;
  return how;
}

/// The same rules without bounds, corrections or a state that can be saved.
class peer {
 public:
  void impression(std::string_view key, std::uint64_t time, std::span<const std::byte> payload) {
    advance(time);
    auto [at, fresh] = pending_.try_emplace(std::string(key));
    if (!fresh) return;
    at->second.payload.assign(payload.begin(), payload.end());
    at->second.time = time;
    ends_.emplace(time + window_ms, &at->first);
  }
  void action(std::string_view key, std::uint64_t time) {
    advance(time);
    const auto found = pending_.find(std::string(key));
    if (found == pending_.end() || found->second.sent) return;
    found->second.sent = true;
    send(found->second);
  }
  std::size_t pending() const { return pending_.size(); }

 private:
  struct one {
    std::vector<std::byte> payload;
    std::uint64_t time = 0;
    bool sent = false;
  };
  void send(const one& sample) { benchmark::DoNotOptimize(sample.payload.data()); }
  void advance(std::uint64_t time) {
    newest_ = std::max(newest_, time);
    while (!ends_.empty() && ends_.begin()->first < newest_ - out_of_order_ms) {
      const auto found = pending_.find(*ends_.begin()->second);
      if (!found->second.sent) send(found->second);
      ends_.erase(ends_.begin());
      pending_.erase(found);
    }
  }
  std::unordered_map<std::string, one> pending_;
  std::multimap<std::uint64_t, const std::string*> ends_;
  std::uint64_t newest_ = 0;
};

void report(benchmark::State& state, std::uint64_t events, std::uint64_t pending) {
  state.counters["events"] =
      benchmark::Counter(static_cast<double>(events), benchmark::Counter::kIsRate);
  state.counters["pending"] = static_cast<double>(pending);
}

constexpr std::uint64_t warm_up = per_ms * (window_ms + 2 * out_of_order_ms);
constexpr int at_once = 1000;

void run_joiner(benchmark::State& state, joiner& join) {
  event_stream stream;
  joined_sample sample;
  const auto step = [&] {
    stream.next(
        [&](std::string_view key, std::uint64_t time, std::span<const std::byte> payload) {
          join.impression(key, time, time, payload);
        },
        [&](std::string_view key, std::uint64_t time) { join.action(key, time, time, 0); });
    while (join.take(sample)) benchmark::DoNotOptimize(sample.payload.data());
  };
  for (std::uint64_t i = 0; i < warm_up; ++i) step();
  const std::uint64_t before = stream.events();
  for (auto _ : state) {
    for (int i = 0; i < at_once; ++i) step();
  }
  report(state, stream.events() - before, join.pending());
  state.counters["payload_MB"] = static_cast<double>(join.payload_bytes()) / 1e6;
  state.counters["spilled"] = static_cast<double>(join.spilled());
}

void join_in_memory(benchmark::State& state) {
  joiner join(bench_spec());
  run_joiner(state, join);
}
BENCHMARK(join_in_memory)->MinTime(2.0);

void join_spilled_to_rocksdb(benchmark::State& state) {
  const storage::temporary_folder folder;
  const auto store = storage::rocks_spill_store::open(folder.path());
  CHECK(store.ok());
  join_spec how = bench_spec();
  how.memory_bytes_max = std::uint64_t{32} << 20;
  joiner join(how, store->get());
  run_joiner(state, join);
}
BENCHMARK(join_spilled_to_rocksdb)->MinTime(2.0);

void join_by_the_standard_library(benchmark::State& state) {
  peer join;
  event_stream stream;
  const auto step = [&] {
    stream.next(
        [&](std::string_view key, std::uint64_t time, std::span<const std::byte> payload) {
          join.impression(key, time, payload);
        },
        [&](std::string_view key, std::uint64_t time) { join.action(key, time); });
  };
  for (std::uint64_t i = 0; i < warm_up; ++i) step();
  const std::uint64_t before = stream.events();
  for (auto _ : state) {
    for (int i = 0; i < at_once; ++i) step();
  }
  report(state, stream.events() - before, join.pending());
}
BENCHMARK(join_by_the_standard_library)->MinTime(2.0);

void only_the_events(benchmark::State& state) {
  event_stream stream;
  const auto use = [](std::string_view key, auto...) { benchmark::DoNotOptimize(key.data()); };
  for (auto _ : state) {
    for (int i = 0; i < at_once; ++i) stream.next(use, use);
  }
  report(state, stream.events(), 0);
}
BENCHMARK(only_the_events);

}  // namespace
}  // namespace headrace::worker
