#include "kernels/softmax_loss/sampled_softmax.hpp"

#include "kernels/runtime/bench_cases.hpp"

namespace headrace::kernels {
namespace {

/// 512 positions, one positive and state.range(0) negatives; peer: the reference.
void sampled_softmax_batch(benchmark::State& state) {
  constexpr std::size_t positions = 512;
  const std::size_t candidates = 1 + static_cast<std::size_t>(state.range(0));
  std::vector<float> scores = random_floats(positions * candidates);
  for (float& score : scores) score *= 8.0F;
  const std::vector<float> log_q = random_floats(candidates, 2);
  std::vector<float> losses(positions);
  std::vector<float> gradients(scores.size());
  const sampled_softmax_args args = {.scores = scores,
                                     .log_q = log_q,
                                     .candidates = candidates,
                                     .losses = losses,
                                     .score_gradients = gradients};
  compare(
      state,
      positions * candidates,
      2 * sizeof(float),
      [&args](std::size_t) { benchmark::DoNotOptimize(sampled_softmax(args)); },
      [&args](std::size_t) { benchmark::DoNotOptimize(sampled_softmax_ref(args)); });
}
BENCHMARK(sampled_softmax_batch)->Arg(1)->Arg(16)->Arg(100)->Arg(1000)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
