#include "kernels/dropout/dropout.hpp"

#include "kernels/runtime/bench_cases.hpp"

#include <cstring>

namespace headrace::kernels {
namespace {

/// Peer: a copy of the same bytes.
void dropout_values(benchmark::State& state) {
  const std::size_t n = static_cast<std::size_t>(state.range(0));
  const std::vector<float> values = random_floats(n);
  std::vector<float> results(n);
  compare(
      state,
      n,
      2 * sizeof(float),
      [&](std::size_t call) {
        dropout({.values = values, .results = results, .rate = 0.1F, .key = {.step = call}});
      },
      [&](std::size_t) {
        std::memcpy(results.data(), values.data(), n * sizeof(float));
        benchmark::ClobberMemory();
      });
}
BENCHMARK(dropout_values)->Arg(512 * 256)->Arg(1 << 22)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
