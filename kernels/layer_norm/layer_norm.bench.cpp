#include "kernels/layer_norm/layer_norm.hpp"

#include "kernels/runtime/bench_cases.hpp"

#include <cstring>

namespace headrace::kernels {
namespace {

/// range(0) rows of range(1): a batch that stays in L2, and one that does not.
struct norm_case {
  explicit norm_case(benchmark::State& state)
      : rows(static_cast<std::size_t>(state.range(0))),
        dim(static_cast<std::size_t>(state.range(1))),
        x(rows * dim),
        residual(rows * dim),
        sum(rows * dim),
        y(rows * dim),
        gain(random_floats(dim)),
        bias(random_floats(dim)),
        dgain(dim),
        dbias(dim),
        mean(rows),
        rstd(rows) {
    random_stream random(1);
    for (float& value : x.span()) value = static_cast<float>(random.next_unit()) - 0.5F;
    for (float& value : residual.span()) value = static_cast<float>(random.next_unit()) - 0.5F;
  }
  layer_norm_forward_args forward(bool added) {
    return {.x = x.span(),
            .residual = added ? residual.span() : std::span<float>(),
            .gain = gain,
            .bias = bias,
            .dim = dim,
            .sum = added ? sum.span() : std::span<float>(),
            .y = y.span(),
            .mean = mean,
            .rstd = rstd};
  }
  std::size_t rows;
  std::size_t dim;
  huge_buffer<float> x;
  huge_buffer<float> residual;
  huge_buffer<float> sum;
  huge_buffer<float> y;
  std::vector<float> gain;
  std::vector<float> bias;
  std::vector<float> dgain;
  std::vector<float> dbias;
  std::vector<float> mean;
  std::vector<float> rstd;
};

/// to = from, by the stores the op uses: memcpy's may pass the caches by.
void stream(std::span<const float> from, std::span<float> to) {
  for (std::size_t i = 0; i < to.size(); i += 8) std::memcpy(&to[i], &from[i], 8 * sizeof(float));
  benchmark::ClobberMemory();
}

/// to = left + right.
void stream(std::span<const float> left, std::span<const float> right, std::span<float> to) {
  using four __attribute__((vector_size(16))) = float;
  for (std::size_t i = 0; i < to.size(); i += 4) {
    four l;
    four r;
    std::memcpy(&l, &left[i], sizeof(l));
    std::memcpy(&r, &right[i], sizeof(r));
    l += r;
    std::memcpy(&to[i], &l, sizeof(l));
  }
  benchmark::ClobberMemory();
}

/// Peers: streams that read and write what the op does.
void layer_norm_forward_alone(benchmark::State& state) {
  norm_case one(state);
  compare(
      state,
      one.rows,
      2 * one.dim * sizeof(float),
      [&one](std::size_t) { layer_norm_forward(one.forward(false)); },
      [&one](std::size_t) { stream(one.x.span(), one.y.span()); });
}

void layer_norm_forward_added(benchmark::State& state) {
  norm_case one(state);
  compare(
      state,
      one.rows,
      4 * one.dim * sizeof(float),
      [&one](std::size_t) { layer_norm_forward(one.forward(true)); },
      [&one](std::size_t) {
        stream(one.x.span(), one.sum.span());
        stream(one.residual.span(), one.y.span());
      });
}

/// Reads two, writes one.
void layer_norm_backward_alone(benchmark::State& state) {
  norm_case one(state);
  layer_norm_forward(one.forward(false));
  compare(
      state,
      one.rows,
      3 * one.dim * sizeof(float),
      [&one](std::size_t) {
        layer_norm_backward({.sum = one.x.span(),
                             .gain = one.gain,
                             .dim = one.dim,
                             .mean = one.mean,
                             .rstd = one.rstd,
                             .y_gradients = one.residual.span(),
                             .x_gradients = one.sum.span(),
                             .gain_gradients = one.dgain,
                             .bias_gradients = one.dbias});
      },
      [&one](std::size_t) { stream(one.x.span(), one.residual.span(), one.sum.span()); });
}

#define NORM(op)            \
  BENCHMARK(op)             \
      ->Args({1024, 64})    \
      ->Args({256, 256})    \
      ->Args({256, 1024})   \
      ->Args({16384, 1024}) \
      ->UseManualTime()
NORM(layer_norm_forward_alone);
NORM(layer_norm_forward_added);
NORM(layer_norm_backward_alone);
#undef NORM

}  // namespace
}  // namespace headrace::kernels
