#include "kernels/top_k/top_k.hpp"

#include "kernels/runtime/bench_cases.hpp"

#include <cmath>

namespace headrace::kernels {
namespace {

/// 4 M values, range(0) of 1000 selected. Peer: std::nth_element, which finds the set and not its
/// order, on a copy of the magnitudes. `share_less_copy` leaves that copy out of the peer's time.
void top_k_of_4m(benchmark::State& state) {
  constexpr std::size_t n = 4 << 20;
  const std::size_t k = n * static_cast<std::size_t>(state.range(0)) / 1000;
  huge_buffer<float> values(n);
  huge_buffer<float> magnitudes(n);
  random_stream random(1);
  for (float& value : values.span()) {  // normal, as gradients are: sum of uniforms
    double sum = -6.0;
    for (int i = 0; i < 12; ++i) sum += random.next_unit();
    value = static_cast<float>(sum);
  }
  std::vector<std::uint32_t> indices(k);
  std::vector<float> selected(k);
  std::vector<std::uint32_t> workspace(top_k_workspace());
  std::vector<double> copying;
  compare(
      state,
      n,
      sizeof(float),
      [&](std::size_t) {
        top_k({.values = values.span(),
               .indices = indices,
               .selected = selected,
               .workspace = workspace});
      },
      [&](std::size_t) {
        const double start = thread_seconds();
        for (std::size_t i = 0; i < n; ++i) magnitudes.data()[i] = std::abs(values.data()[i]);
        copying.push_back(thread_seconds() - start);
        const auto kth = magnitudes.span().begin() + static_cast<std::ptrdiff_t>(k);
        std::nth_element(magnitudes.span().begin(), kth, magnitudes.span().end(), std::greater<>());
      });
  std::sort(copying.begin(), copying.end());
  const double copy = copying[copying.size() / 2] / static_cast<double>(n) * 1e9;
  const double peer = state.counters["peer_ns/item"];
  state.counters["share_less_copy"] = state.counters["share"] * (peer - copy) / peer;
}
BENCHMARK(top_k_of_4m)->Arg(1)->Arg(50)->Arg(250)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
