#include "kernels/esmm_loss/esmm_loss.hpp"

#include "kernels/bce/bce.hpp"
#include "kernels/runtime/bench_cases.hpp"

namespace headrace::kernels {
namespace {

/// Peer: bce of both logits, which makes 2 of the 4 exponentials and 2 of the 3 logarithms.
void esmm_loss_batch(benchmark::State& state) {
  const std::size_t n = static_cast<std::size_t>(state.range(0));
  std::vector<float> a = random_floats(n);
  std::vector<float> b = random_floats(n, 2);
  for (float& z : a) z *= 8.0F;
  for (float& z : b) z *= 8.0F;
  std::vector<float> labels(n);
  for (std::size_t i = 0; i < n; ++i) labels[i] = i % 3 == 0 ? 1.0F : 0.0F;
  std::vector<std::vector<float>> outs(5, std::vector<float>(n));
  const esmm_loss_args args = {.ctr_logits = a,
                               .cvr_logits = b,
                               .clicks = labels,
                               .conversions = labels,
                               .p_ctr = outs[0],
                               .p_cvr = outs[1],
                               .p_ctcvr = outs[2],
                               .ctr_gradients = outs[3],
                               .cvr_gradients = outs[4]};
  const bce_args ctr = {
      .logits = a, .labels = labels, .probabilities = outs[0], .logit_gradients = outs[3]};
  const bce_args cvr = {
      .logits = b, .labels = labels, .probabilities = outs[1], .logit_gradients = outs[4]};
  compare(
      state,
      n,
      9 * sizeof(float),
      [&args](std::size_t) { benchmark::DoNotOptimize(esmm_loss(args)); },
      [&ctr, &cvr](std::size_t) { benchmark::DoNotOptimize(bce(ctr) + bce(cvr)); });
}
BENCHMARK(esmm_loss_batch)->Arg(4096)->Arg(65'536)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
