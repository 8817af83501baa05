#include "kernels/dedup/dedup.hpp"

#include "kernels/runtime/bench_cases.hpp"

namespace headrace::kernels {
namespace {

constexpr std::size_t batches = 8;

struct dedup_buffers {
  dedup_scratch scratch;
  std::vector<std::uint64_t> unique;
  std::vector<std::uint32_t> inverse;
  std::vector<std::uint32_t> counts;
  dedup_args args(std::span<const std::uint64_t> keys) {
    return {
        .keys = keys, .scratch = scratch, .unique = unique, .inverse = inverse, .counts = counts};
  }
};

/// Peer: std::sort and std::unique of a copy, without the inverse and the counts that dedup also
/// gives.
void sort_unique(std::span<const std::uint64_t> keys, std::vector<std::uint64_t>& unique) {
  unique.assign(keys.begin(), keys.end());
  std::sort(unique.begin(), unique.end());
  unique.erase(std::unique(unique.begin(), unique.end()), unique.end());
  benchmark::DoNotOptimize(unique.data());
}

void dedup_batches(benchmark::State& state, const std::vector<std::vector<std::uint64_t>>& keys) {
  dedup_buffers buffers;
  std::vector<std::uint64_t> unique;
  compare(
      state,
      keys[0].size(),
      0,
      [&](std::size_t call) { dedup(buffers.args(keys[call % batches])); },
      [&](std::size_t call) { sort_unique(keys[call % batches], unique); });
  state.counters["unique"] =
      static_cast<double>(buffers.unique.size()) / static_cast<double>(keys[0].size());
}

void dedup_skewed(benchmark::State& state) {
  std::vector<std::vector<std::uint64_t>> keys;
  for (std::size_t b = 0; b < batches; ++b) {
    keys.push_back(skewed_keys(static_cast<std::size_t>(state.range(0)), b + 1));
  }
  dedup_batches(state, keys);
}

void dedup_all_different(benchmark::State& state) {
  std::vector<std::vector<std::uint64_t>> keys;
  for (std::size_t b = 0; b < batches; ++b) {
    random_stream random(b + 1);
    keys.emplace_back(static_cast<std::size_t>(state.range(0)));
    for (std::uint64_t& key : keys.back()) key = random.next();
  }
  dedup_batches(state, keys);
}

BENCHMARK(dedup_skewed)
    ->Arg(256)
    ->Arg(4096)
    ->Arg(20'000)
    ->Arg(100'000)
    ->Arg(1 << 20)
    ->UseManualTime();
BENCHMARK(dedup_all_different)->Arg(4096)->Arg(100'000)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
