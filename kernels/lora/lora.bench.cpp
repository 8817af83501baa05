#include "kernels/lora/lora.hpp"

#include "kernels/gemm/gemm.hpp"
#include "kernels/runtime/bench_cases.hpp"

namespace headrace::kernels {
namespace {

/// rows, inputs, rank, outputs.
struct lora_case {
  explicit lora_case(const benchmark::State& state)
      : sizes{.rows = static_cast<std::size_t>(state.range(0)),
              .inputs = static_cast<std::size_t>(state.range(1)),
              .rank = static_cast<std::size_t>(state.range(2)),
              .outputs = static_cast<std::size_t>(state.range(3))},
        x(random_floats(sizes.rows * sizes.inputs)),
        a(random_floats(sizes.inputs * sizes.rank)),
        b(random_floats(sizes.rank * sizes.outputs)),
        weights(random_floats(sizes.inputs * sizes.outputs)),
        hidden(sizes.rows * sizes.rank),
        y(sizes.rows * sizes.outputs),
        dx(x.size()),
        da(a.size()),
        db(b.size()),
        workspace(lora_workspace(sizes)),
        peer_workspace(gemm_workspace(sizes.rows, sizes.outputs, sizes.inputs)) {}

  std::size_t multiply_adds() const {
    return sizes.rows * sizes.rank * (sizes.inputs + sizes.outputs);
  }
  void forward() {
    lora_forward({.sizes = sizes,
                  .x = x,
                  .a = a,
                  .b = b,
                  .scale = 0.5F,
                  .hidden = hidden,
                  .y = y,
                  .workspace = workspace});
  }
  void backward() {
    lora_backward({.sizes = sizes,
                   .x = x,
                   .a = a,
                   .b = b,
                   .scale = 0.5F,
                   .hidden = hidden,
                   .y_gradients = y,
                   .x_gradients = dx,
                   .a_gradients = da,
                   .b_gradients = db,
                   .workspace = workspace});
  }
  /// The frozen layer: what the adapter adds to.
  void frozen() {
    gemm({.a = x.data(),
          .a_stride = sizes.inputs,
          .b = weights.data(),
          .b_stride = sizes.outputs,
          .c = y.data(),
          .c_stride = sizes.outputs,
          .m = sizes.rows,
          .n = sizes.outputs,
          .k = sizes.inputs,
          .workspace = peer_workspace});
  }

  lora_sizes sizes;
  std::vector<float> x, a, b, weights, hidden, y, dx, da, db, workspace, peer_workspace;
};

/// Peer: the frozen layer's product; share = how many adapters take its time. An item is a
/// multiply-add of the adapter.
void lora_forward_rows(benchmark::State& state) {
  lora_case one(state);
  compare(
      state,
      one.multiply_adds(),
      0,
      [&one](std::size_t) { one.forward(); },
      [&one](std::size_t) { one.frozen(); });
}
BENCHMARK(lora_forward_rows)->Args({512, 256, 8, 256})->Args({16, 1024, 16, 1024})->UseManualTime();

/// Backward does twice forward's multiply-adds.
void lora_backward_rows(benchmark::State& state) {
  lora_case one(state);
  one.forward();
  compare(
      state,
      2 * one.multiply_adds(),
      0,
      [&one](std::size_t) { one.backward(); },
      [&one](std::size_t) { one.frozen(); });
}
BENCHMARK(lora_backward_rows)
    ->Args({512, 256, 8, 256})
    ->Args({16, 1024, 16, 1024})
    ->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
