#include "kernels/fm/fm.hpp"

#include "kernels/runtime/bench_cases.hpp"

namespace headrace::kernels {
namespace {

constexpr std::size_t samples = 256;
constexpr std::size_t features = 39;

/// A batch of 256 samples of 39 features over its unique rows: 1 + latent columns each.
struct fm_case {
  explicit fm_case(std::size_t latent)
      : latent_dim(latent),
        rows(random_floats(unique * (1 + latent))),
        gradients(rows.size()),
        logits(samples),
        logit_gradients(random_floats(samples)),
        sums(samples * latent) {
    random_stream random(1);
    for (std::size_t i = 0; i < samples * features; ++i)
      inverse.push_back(static_cast<std::uint32_t>(random.next_below(unique)));
  }
  static constexpr std::size_t unique = 5000;
  std::size_t latent_dim;
  std::vector<float> rows;
  std::vector<float> gradients;
  std::vector<float> logits;
  std::vector<float> logit_gradients;
  std::vector<float> sums;
  std::vector<std::uint32_t> inverse;
};

fm_forward_args forward_args(fm_case& one) {
  return {.rows = one.rows,
          .inverse = one.inverse,
          .features = features,
          .latent_dim = one.latent_dim,
          .bias = 0.0F,
          .logits = one.logits,
          .sums = one.sums};
}
fm_backward_args backward_args(fm_case& one) {
  return {.rows = one.rows,
          .inverse = one.inverse,
          .features = features,
          .latent_dim = one.latent_dim,
          .sums = one.sums,
          .logit_gradients = one.logit_gradients,
          .row_gradients = one.gradients};
}

/// Peer of both: the plain loops of the reference.
void fm_forward_batch(benchmark::State& state) {
  fm_case one(static_cast<std::size_t>(state.range(0)));
  compare(
      state,
      samples,
      features * (1 + one.latent_dim) * sizeof(float),
      [&one](std::size_t) { fm_forward(forward_args(one)); },
      [&one](std::size_t) { fm_forward_ref(forward_args(one)); });
}
BENCHMARK(fm_forward_batch)->Arg(8)->Arg(16)->Arg(64)->UseManualTime();

void fm_backward_batch(benchmark::State& state) {
  fm_case one(static_cast<std::size_t>(state.range(0)));
  fm_forward(forward_args(one));
  compare(
      state,
      samples,
      3 * features * (1 + one.latent_dim) * sizeof(float),
      [&one](std::size_t) { fm_backward(backward_args(one)); },
      [&one](std::size_t) { fm_backward_ref(backward_args(one)); });
}
BENCHMARK(fm_backward_batch)->Arg(8)->Arg(16)->Arg(64)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
