#include "kernels/rope/rope.hpp"

#include "kernels/runtime/bench_cases.hpp"

#include <cstring>

namespace headrace::kernels {
namespace {

/// heads, dim; 2048 tokens of sequences of 256. Peer: a copy of the same bytes.
void rope_tokens(benchmark::State& state) {
  constexpr std::size_t tokens = 2048;
  constexpr std::size_t length = 256;
  const std::size_t heads = static_cast<std::size_t>(state.range(0));
  const std::size_t dim = static_cast<std::size_t>(state.range(1));
  std::vector<float> table(length * dim);
  fill_rope_table({.dim = dim, .table = table});
  std::vector<std::uint32_t> positions(tokens);
  for (std::size_t t = 0; t < tokens; ++t) positions[t] = static_cast<std::uint32_t>(t % length);
  std::vector<float> values = random_floats(tokens * heads * dim);
  std::vector<float> copy(values.size());
  compare(
      state,
      values.size(),
      2 * sizeof(float),
      [&](std::size_t) {
        rope(
            {.values = values, .positions = positions, .heads = heads, .dim = dim, .table = table});
      },
      [&](std::size_t) {
        std::memcpy(copy.data(), values.data(), values.size() * sizeof(float));
        benchmark::ClobberMemory();
      });
}
BENCHMARK(rope_tokens)->Args({4, 32})->Args({8, 64})->Args({16, 128})->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
