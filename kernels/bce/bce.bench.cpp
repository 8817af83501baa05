#include "kernels/bce/bce.hpp"

#include "kernels/runtime/bench_cases.hpp"

namespace headrace::kernels {
namespace {

/// Peer: the reference, std::exp and std::log1p sample by sample.
void bce_batch(benchmark::State& state) {
  const std::size_t n = static_cast<std::size_t>(state.range(0));
  std::vector<float> logits = random_floats(n);
  for (float& z : logits) z *= 8.0F;
  std::vector<float> labels(n);
  for (std::size_t i = 0; i < n; ++i) labels[i] = i % 3 == 0 ? 1.0F : 0.0F;
  std::vector<float> probabilities(n);
  std::vector<float> gradients(n);
  const bce_args args = {.logits = logits,
                         .labels = labels,
                         .probabilities = probabilities,
                         .logit_gradients = gradients};
  compare(
      state,
      n,
      4 * sizeof(float),
      [&args](std::size_t) { benchmark::DoNotOptimize(bce(args)); },
      [&args](std::size_t) { benchmark::DoNotOptimize(bce_ref(args)); });
}
BENCHMARK(bce_batch)->Arg(4096)->Arg(65'536)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
