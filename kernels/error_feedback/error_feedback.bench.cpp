#include "kernels/error_feedback/error_feedback.hpp"

#include "kernels/runtime/bench_cases.hpp"
#include "kernels/top_k/top_k.hpp"

#include <cstring>

namespace headrace::kernels {
namespace {

/// 5 % of range(0) values.
struct feedback_case {
  explicit feedback_case(benchmark::State& state)
      : n(static_cast<std::size_t>(state.range(0))),
        k(n / 20),
        gradients(n),
        residuals(n),
        copies(n),
        indices(k),
        codes(k),
        scales(sparse_scales(k)),
        selected(k),
        workspace(top_k_workspace()) {
    random_stream random(1);
    for (float& value : gradients.span()) value = static_cast<float>(random.next_unit()) - 0.5F;
    for (float& value : residuals.span()) value = static_cast<float>(random.next_unit()) - 0.5F;
  }
  void compress() {
    sparsify({.gradients = gradients.span(),
              .residuals = residuals.span(),
              .indices = indices,
              .codes = codes,
              .scales = scales,
              .selected = selected,
              .workspace = workspace});
  }
  std::size_t n;
  std::size_t k;
  huge_buffer<float> gradients;
  huge_buffer<float> residuals;
  huge_buffer<float> copies;
  std::vector<std::uint32_t> indices;
  std::vector<std::int8_t> codes;
  std::vector<std::uint16_t> scales;
  std::vector<float> selected;
  std::vector<std::uint32_t> workspace;
};

/// Peer: the selection alone, of the gradients.
void sparsify_5_percent(benchmark::State& state) {
  feedback_case one(state);
  compare(
      state,
      one.n,
      sizeof(float),
      [&one](std::size_t) { one.compress(); },
      [&one](std::size_t) {
        top_k({.values = one.gradients.span(),
               .indices = one.indices,
               .selected = one.selected,
               .workspace = one.workspace});
      });
}
BENCHMARK(sparsify_5_percent)->Arg(1 << 16)->Arg(4 << 20)->UseManualTime();

/// Into zeros, an item is a value sent. Peer: zeroing the buffer, which comes with it.
void add_sparse_5_percent(benchmark::State& state) {
  feedback_case one(state);
  one.compress();
  compare(
      state,
      one.k,
      0,
      [&one](std::size_t) {
        add_sparse({.indices = one.indices,
                    .codes = one.codes,
                    .scales = one.scales,
                    .values = one.copies.span()});
      },
      [&one](std::size_t) {
        std::memset(one.copies.data(), 0, one.n * sizeof(float));
        benchmark::ClobberMemory();
      });
}
BENCHMARK(add_sparse_5_percent)->Arg(1 << 16)->Arg(4 << 20)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
