#include "kernels/half_gemm/half_gemm.hpp"

#include "kernels/gemm/gemm.hpp"
#include "kernels/runtime/bench_cases.hpp"

namespace headrace::kernels {
namespace {

/// Ours in bf16, rounding of A included; the peer is our product in f32. Above 1 only where
/// fastest_half_machine() has bf16 instructions; elsewhere it says what plain code costs.
void bf16_product(benchmark::State& state) {
  const auto m = static_cast<std::size_t>(state.range(0));
  const auto n = static_cast<std::size_t>(state.range(1));
  const auto k = static_cast<std::size_t>(state.range(2));
  const std::vector<float> a = random_floats(m * k);
  const std::vector<float> b = random_floats(k * n, 2);
  std::vector<std::uint16_t> words(m * k);
  std::vector<std::uint16_t> packed(packed_words(k, n));
  std::vector<float> c(m * n);
  std::vector<float> workspace(half_gemm_workspace(m, n, k));
  pack_halves({.values = b, .k = k, .n = n, .packed = packed});
  compare(
      state,
      m * n * k,
      0,
      [&](std::size_t) {
        round_halves({.values = a, .words = words});
        half_gemm(
            {.a = words, .b = packed, .c = c, .m = m, .n = n, .k = k, .workspace = workspace});
      },
      [&](std::size_t) {
        gemm({.a = a.data(),
              .a_stride = k,
              .b = b.data(),
              .b_stride = n,
              .c = c.data(),
              .c_stride = n,
              .m = m,
              .n = n,
              .k = k,
              .workspace = workspace});
      });
}
BENCHMARK(bf16_product)
    ->Args({256, 256, 512})
    ->Args({512, 256, 429})
    ->Args({1024, 1024, 1024})
    ->UseManualTime();

void pack_weights(benchmark::State& state) {
  const auto k = static_cast<std::size_t>(state.range(0));
  const auto n = static_cast<std::size_t>(state.range(1));
  const bool transposed = state.range(2) != 0;
  const std::vector<float> b = random_floats(k * n);
  std::vector<float> copy(k * n);
  std::vector<std::uint16_t> packed(packed_words(k, n));
  compare(
      state,
      k * n,
      sizeof(float) + sizeof(std::uint16_t),
      [&](std::size_t) {
        pack_halves({.values = b, .transposed = transposed, .k = k, .n = n, .packed = packed});
      },
      [&](std::size_t) { std::copy(b.begin(), b.end(), copy.begin()); });
}
BENCHMARK(pack_weights)->Args({512, 256, 0})->Args({256, 512, 1})->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
