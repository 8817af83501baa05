#include "ps/shard/shard.hpp"

#include "base/random.hpp"
#include "ps/shard/test_push.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>
#include <unordered_set>
#include <vector>

// rows64 (notes/baselines.md §2) inside one shard: 1 M rows of 64 floats, batches of 4,096 uniform
// keys, fresh ones from a pool of 64. A push is decide + commit of a decoded section, a pull is one
// encoded reply. rows/s is the counter `rows`.
//   ninja -C build/release ps_bench && build/release/bin/ps_bench
namespace headrace::ps {
namespace {

using schemas::optimizer_kind;
using schemas::value_codec;

constexpr std::uint64_t table_rows = 1'000'000;
constexpr std::size_t batch_rows = 4'096;
constexpr std::size_t pool = 64;
constexpr std::uint32_t dim = 64;

std::uint64_t key_of(std::uint64_t rank) { return mix64(rank) >> 1; }

std::vector<std::uint64_t> draw_keys(random_stream& random) {
  std::unordered_set<std::uint64_t> keys;
  while (keys.size() < batch_rows) keys.insert(key_of(1 + random.next_below(table_rows)));
  std::vector<std::uint64_t> sorted(keys.begin(), keys.end());
  std::ranges::sort(sorted);
  return sorted;
}

block_data block_of(std::vector<std::uint64_t> keys, value_codec codec) {
  block_data block;
  block.dim = dim;
  const std::size_t cells = keys.size() * dim;
  if (codec == value_codec::int8) {
    block.codes.assign(cells, 3);
    block.scales.assign(keys.size(), 0x1400);  // 2^-10
  } else {
    block.values.assign(cells, 0x1p-10F);
  }
  block.keys = std::move(keys);
  return block;
}

/// A shard with every row there, and the next batch number of its source.
struct filled {
  explicit filled(optimizer_kind kind)
      : state(shard_id{0}, one_table(kind, dim), shard_limits{}, headrace::epoch{1}) {
    std::vector<std::uint64_t> keys;
    for (std::uint64_t rank = 1; rank <= table_rows; ++rank) keys.push_back(key_of(rank));
    std::ranges::sort(keys);
    for (std::size_t from = 0; from < keys.size(); from += batch_rows) {
      const auto to = std::min(keys.size(), from + batch_rows);
      push(received(section_of({"bench", 1},
                               1,
                               0,
                               {block_of({keys.begin() + static_cast<std::ptrdiff_t>(from),
                                          keys.begin() + static_cast<std::ptrdiff_t>(to)},
                                         value_codec::fp32)})));
    }
  }
  void push(schemas::push_section section) {
    section.prev = batch_number{batch++};
    section.batch = batch_number{batch};
    auto decision = state.decide(section, 0);
    CHECK(decision.record.has_value());
    CHECK(state.commit(decision.record->lsn).applied);
  }

  shard state;
  std::uint64_t batch = 0;
};

/// Filling takes a second, so the shard of one optimizer serves all its benches.
filled& shard_of_kind(optimizer_kind kind) {
  static std::unique_ptr<filled> made;
  static optimizer_kind made_kind{};
  if (!made || made_kind != kind) {
    made = nullptr;
    made = std::make_unique<filled>(kind);
    made_kind = kind;
  }
  return *made;
}

void report(benchmark::State& state) {
  state.counters["rows"] = benchmark::Counter(static_cast<double>(state.iterations()) * batch_rows,
                                              benchmark::Counter::kIsRate);
}

void push(benchmark::State& state, optimizer_kind kind, value_codec codec) {
  filled& to = shard_of_kind(kind);
  random_stream random(42 + batch_rows);
  std::vector<schemas::push_section> sections;
  for (std::size_t i = 0; i < pool; ++i) {
    sections.push_back(
        received(section_of({"bench", 1}, 1, 0, {block_of(draw_keys(random), codec)})));
  }
  std::size_t next = 0;
  for (auto _ : state) to.push(sections[next++ % pool]);
  report(state);
  const auto digest = to.state.digest();
  state.counters["bytes_per_row"] =
      static_cast<double>(digest.bytes) / static_cast<double>(digest.rows);
}

void pull(benchmark::State& state, value_codec codec) {
  const filled& from = shard_of_kind(optimizer_kind::adagrad);
  random_stream random(42 + batch_rows);
  std::vector<std::vector<std::uint64_t>> keys;
  for (std::size_t i = 0; i < pool; ++i) keys.push_back(draw_keys(random));
  std::size_t next = 0;
  for (auto _ : state) {
    schemas::pull_section section;
    section.blocks.push_back({table_id{0}, codec, keys[next++ % pool]});
    benchmark::DoNotOptimize(from.state.pull(section));
  }
  report(state);
}

BENCHMARK_CAPTURE(push, add_fp32, optimizer_kind::add, value_codec::fp32);
BENCHMARK_CAPTURE(push, add_int8, optimizer_kind::add, value_codec::int8);
BENCHMARK_CAPTURE(push, adagrad_fp32, optimizer_kind::adagrad, value_codec::fp32);
BENCHMARK_CAPTURE(push, adagrad_int8, optimizer_kind::adagrad, value_codec::int8);
BENCHMARK_CAPTURE(pull, fp32, value_codec::fp32);
BENCHMARK_CAPTURE(pull, int8, value_codec::int8);

}  // namespace
}  // namespace headrace::ps
