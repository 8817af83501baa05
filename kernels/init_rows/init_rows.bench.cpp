#include "kernels/init_rows/init_rows.hpp"

#include "kernels/runtime/bench_cases.hpp"

namespace headrace::kernels {
namespace {

/// Peer: one mix64 a value and no more, the least a counter-based draw can cost.
void hash_only(std::span<float> values, std::uint64_t call) {
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = unit_float(mix64(call + i));
  benchmark::ClobberMemory();
}

void init_rows_block(benchmark::State& state) {
  const std::size_t dim = static_cast<std::size_t>(state.range(0));
  constexpr std::size_t rows = 1024;
  std::vector<std::uint64_t> keys(rows);
  for (std::size_t i = 0; i < rows; ++i) keys[i] = mix64(i);
  std::vector<float> values(rows * dim);
  std::vector<float> others(rows * dim);
  compare(
      state,
      rows,
      dim * sizeof(float),
      [&](std::size_t) {
        init_rows({.keys = keys,
                   .seed = 1,
                   .scale = 0.05F,
                   .first_order_columns = 1,
                   .dim = dim,
                   .values = values});
      },
      [&](std::size_t call) { hash_only(others, call); });
}
BENCHMARK(init_rows_block)->Arg(16)->Arg(64)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
