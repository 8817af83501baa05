#include "kernels/linear/linear.hpp"

#include "kernels/gemm/gemm.hpp"
#include "kernels/runtime/bench_cases.hpp"

namespace headrace::kernels {
namespace {

struct layer_case {
  layer_case(std::size_t rows_n, std::size_t in_n, std::size_t out_n, linear_activation chosen)
      : rows(rows_n),
        in(in_n),
        out(out_n),
        activation(chosen),
        x(random_floats(rows * in)),
        weights(random_floats(in * out, 2)),
        bias(random_floats(out, 3)),
        dy(random_floats(rows * out, 4)),
        y(rows * out),
        saved(linear_reads_saved(activation) ? rows * out : 0),
        dx(rows * in),
        dweights(in * out),
        dbias(out),
        workspace(linear_workspace(rows, in, out)) {}

  void forward() {
    linear_forward({.x = x,
                    .weights = weights,
                    .bias = bias,
                    .rows = rows,
                    .in = in,
                    .out = out,
                    .activation = activation,
                    .y = y,
                    .saved = saved,
                    .workspace = workspace});
  }
  void backward() {
    linear_backward({.x = x,
                     .weights = weights,
                     .y = y,
                     .saved = saved,
                     .dy = dy,
                     .rows = rows,
                     .in = in,
                     .out = out,
                     .activation = activation,
                     .dx = dx,
                     .dweights = dweights,
                     .dbias = dbias,
                     .workspace = workspace});
  }
  /// The products of both, and nothing else.
  void bare_products() {
    gemm_args args = {.a = x.data(),
                      .a_stride = in,
                      .b = weights.data(),
                      .b_stride = out,
                      .c = y.data(),
                      .c_stride = out,
                      .m = rows,
                      .n = out,
                      .k = in,
                      .workspace = workspace};
    gemm(args);
    args = {.a = dy.data(),
            .a_stride = out,
            .b = weights.data(),
            .b_stride = out,
            .b_transposed = true,
            .c = dx.data(),
            .c_stride = in,
            .m = rows,
            .n = in,
            .k = out,
            .workspace = workspace};
    gemm(args);
    args = {.a = x.data(),
            .a_stride = in,
            .a_transposed = true,
            .b = dy.data(),
            .b_stride = out,
            .c = dweights.data(),
            .c_stride = out,
            .m = in,
            .n = out,
            .k = rows,
            .accumulate = true,
            .workspace = workspace};
    gemm(args);
  }

  std::size_t rows;
  std::size_t in;
  std::size_t out;
  linear_activation activation;
  std::vector<float> x;
  std::vector<float> weights;
  std::vector<float> bias;
  std::vector<float> dy;
  std::vector<float> y;
  std::vector<float> saved;
  std::vector<float> dx;
  std::vector<float> dweights;
  std::vector<float> dbias;
  std::vector<float> workspace;
};

/// Forward and backward of one layer; an item is a row. Peer: its three bare products.
void layer_step(benchmark::State& state) {
  layer_case one(static_cast<std::size_t>(state.range(0)),
                 static_cast<std::size_t>(state.range(1)),
                 static_cast<std::size_t>(state.range(2)),
                 static_cast<linear_activation>(state.range(3)));
  compare(
      state,
      one.rows,
      0,
      [&one](std::size_t) {
        one.forward();
        one.backward();
      },
      [&one](std::size_t) { one.bare_products(); });
}
void layer_sizes(benchmark::internal::Benchmark* bench) {
  using enum linear_activation;
  const auto add = [bench](std::int64_t rows, std::int64_t in, std::int64_t out, auto activation) {
    bench->Args({rows, in, out, static_cast<std::int64_t>(activation)});
  };
  for (const auto activation : {none, relu, sigmoid, silu, gelu, linear_activation::tanh}) {
    add(512, 429, 256, activation);
  }
  add(512, 256, 128, relu);
  add(512, 128, 1, none);
  add(64, 429, 256, relu);
  add(4096, 429, 256, relu);
}
BENCHMARK(layer_step)->Apply(layer_sizes)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
