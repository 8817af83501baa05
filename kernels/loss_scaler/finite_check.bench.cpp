#include "kernels/loss_scaler/finite_check.hpp"

#include "kernels/runtime/bench_cases.hpp"

#include <cstring>

namespace headrace::kernels {
namespace {

/// Peer: the C library's vectorised search for a byte that isn't there, which reads and compares.
void against_plain_read(benchmark::State& state, bool (*op)(std::span<const float>)) {
  huge_buffer<float> values(static_cast<std::size_t>(state.range(0)));
  std::fill_n(values.data(), values.size(), 1.0F);  // bytes 00, 80, 3F
  compare(
      state,
      values.size(),
      sizeof(float),
      [&values, op](std::size_t) { benchmark::DoNotOptimize(op(values.span())); },
      [&values](std::size_t) {
        benchmark::DoNotOptimize(std::memchr(values.data(), 0x55, values.size() * sizeof(float)));
      });
}

void all_finite_span(benchmark::State& state) { against_plain_read(state, all_finite); }
BENCHMARK(all_finite_span)->Arg(65'536)->Arg(1 << 20)->Arg(1 << 25)->UseManualTime();

void abs_max_span(benchmark::State& state) {
  against_plain_read(state, [](std::span<const float> values) { return abs_max(values) > 0.0F; });
}
BENCHMARK(abs_max_span)->Arg(65'536)->Arg(1 << 25)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
