#include "kernels/cross/cross.hpp"

#include "kernels/gemm/gemm.hpp"
#include "kernels/runtime/bench_cases.hpp"

namespace headrace::kernels {
namespace {

/// One layer over 256 rows, small weights so that nothing grows.
struct cross_case {
  cross_case(std::size_t dim, std::size_t rank)
      : shape{.rows = 256, .dim = dim, .rank = rank},
        x0(random_floats(256 * dim, 1)),
        x(random_floats(256 * dim, 2)),
        g(random_floats(256 * dim, 3)),
        weights(random_floats(weight_count(), 4)),
        weight_gradients(weight_count()),
        bias(dim),
        bias_gradients(dim),
        out(256 * dim),
        affine(256 * dim),
        dx(256 * dim),
        dx0(256 * dim),
        projected(256 * rank),
        workspace(std::max(cross_workspace(shape), cross_backward_workspace(shape))) {
    for (float& weight : weights) weight *= 0.01F;
  }
  std::size_t weight_count() const {
    return shape.rank == 0 ? shape.dim * shape.dim : 2 * shape.dim * shape.rank;
  }
  template <class Value>
  cross_weights<Value> parts(std::vector<float>& all, std::vector<float>& b) const {
    const std::span<Value> one(all);
    if (shape.rank == 0) return {.full = one, .bias = b};
    const std::size_t half = shape.dim * shape.rank;
    return {.down = one.first(half), .up = one.subspan(half), .bias = b};
  }
  void forward() {
    cross({.shape = shape,
           .x0 = x0,
           .x = x,
           .weights = parts<const float>(weights, bias),
           .out = out,
           .affine = affine,
           .projected = projected,
           .workspace = workspace});
  }
  void backward() {
    cross_backward({.shape = shape,
                    .x0 = x0,
                    .x = x,
                    .weights = parts<const float>(weights, bias),
                    .affine = affine,
                    .projected = projected,
                    .out_gradients = g,
                    .x_gradients = dx,
                    .x0_gradients = dx0,
                    .weight_gradients = parts<float>(weight_gradients, bias_gradients),
                    .workspace = workspace});
  }
  /// c [m, n] (+)= op(a) op(b), all dense.
  void bare(const std::vector<float>& a,
            bool a_transposed,
            std::span<const float> b,
            bool b_transposed,
            float* c,
            std::size_t m,
            std::size_t n,
            std::size_t k,
            bool accumulate) {
    gemm({.a = a.data(),
          .a_stride = a_transposed ? m : k,
          .a_transposed = a_transposed,
          .b = b.data(),
          .b_stride = b_transposed ? k : n,
          .b_transposed = b_transposed,
          .c = c,
          .c_stride = n,
          .m = m,
          .n = n,
          .k = k,
          .accumulate = accumulate,
          .workspace = workspace});
  }
  void bare_forward() {
    const auto [rows, dim, rank] = shape;
    if (rank == 0) {
      bare(x, false, weights, false, affine.data(), rows, dim, dim, false);
      return;
    }
    const auto parted = parts<const float>(weights, bias);
    bare(x, false, parted.down, false, projected.data(), rows, rank, dim, false);
    bare(projected, false, parted.up, true, affine.data(), rows, dim, rank, false);
  }
  void bare_backward() {
    const auto [rows, dim, rank] = shape;
    float* dw = weight_gradients.data();
    if (rank == 0) {
      bare(g, false, weights, true, dx.data(), rows, dim, dim, true);
      bare(x, true, g, false, dw, dim, dim, rows, true);
      return;
    }
    const auto parted = parts<const float>(weights, bias);
    bare(g, false, parted.up, false, projected.data(), rows, rank, dim, false);
    bare(projected, false, parted.down, true, dx.data(), rows, dim, rank, true);
    bare(x, true, projected, false, dw, dim, rank, rows, true);
    bare(g, true, projected, false, dw + dim * rank, dim, rank, rows, true);
  }

  cross_shape shape;
  std::vector<float> x0, x, g, weights, weight_gradients, bias, bias_gradients;
  std::vector<float> out, affine, dx, dx0, projected, workspace;
};

void sizes(benchmark::internal::Benchmark* bench) {
  bench->Args({256, 0})->Args({512, 0})->Args({1024, 0})->Args({512, 64})->UseManualTime();
}

/// Peer: the bare matrix products on the same sizes.
void cross_forward(benchmark::State& state) {
  cross_case one(static_cast<std::size_t>(state.range(0)),
                 static_cast<std::size_t>(state.range(1)));
  compare(
      state,
      one.shape.rows,
      0,
      [&one](std::size_t) { one.forward(); },
      [&one](std::size_t) { one.bare_forward(); });
}
BENCHMARK(cross_forward)->Apply(sizes);

/// Peer: the bare matrix products on the same sizes.
void cross_gradient(benchmark::State& state) {
  cross_case one(static_cast<std::size_t>(state.range(0)),
                 static_cast<std::size_t>(state.range(1)));
  one.forward();
  compare(
      state,
      one.shape.rows,
      0,
      [&one](std::size_t) { one.backward(); },
      [&one](std::size_t) { one.bare_backward(); });
}
BENCHMARK(cross_gradient)->Apply(sizes);

}  // namespace
}  // namespace headrace::kernels
