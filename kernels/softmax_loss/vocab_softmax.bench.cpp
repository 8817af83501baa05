#include "kernels/softmax_loss/vocab_softmax.hpp"

#include "kernels/gemm/gemm.hpp"
#include "kernels/runtime/bench_cases.hpp"

namespace headrace::kernels {
namespace {

constexpr std::size_t positions = 256;
constexpr std::size_t items = 4096;

/// 256 positions over 4,096 items. The peer makes, and keeps, the logits by one bare product.
struct vocab_bench_case {
  explicit vocab_bench_case(std::size_t width)
      : dim(width),
        x(random_floats(positions * width)),
        table(random_floats(items * width, 2)),
        losses(positions),
        lse(positions),
        x_gradients(x.size()),
        item_gradients(table.size()),
        logits(positions * items),
        workspace(std::max({vocab_softmax_workspace(positions, items, width),
                            gemm_workspace(positions, items, width),
                            gemm_workspace(positions, width, items),
                            gemm_workspace(items, width, positions)})) {
    random_stream random(3);
    for (std::size_t t = 0; t < positions; ++t) {
      labels.push_back(static_cast<std::uint32_t>(random.next_below(items)));
    }
  }
  void forward() {
    benchmark::DoNotOptimize(vocab_softmax({.x = x,
                                            .items = table,
                                            .dim = dim,
                                            .labels = labels,
                                            .losses = losses,
                                            .lse = lse,
                                            .workspace = workspace}));
  }
  void backward() {
    vocab_softmax_backward({.x = x,
                            .items = table,
                            .dim = dim,
                            .labels = labels,
                            .lse = lse,
                            .x_gradients = x_gradients,
                            .item_gradients = item_gradients,
                            .workspace = workspace});
  }
  void bare_logits() {
    gemm({.a = x.data(),
          .a_stride = dim,
          .b = table.data(),
          .b_stride = dim,
          .b_transposed = true,
          .c = logits.data(),
          .c_stride = items,
          .m = positions,
          .n = items,
          .k = dim,
          .workspace = workspace});
  }
  void bare_gradients() {
    gemm({.a = logits.data(),
          .a_stride = items,
          .b = table.data(),
          .b_stride = dim,
          .c = x_gradients.data(),
          .c_stride = dim,
          .m = positions,
          .n = dim,
          .k = items,
          .workspace = workspace});
    gemm({.a = logits.data(),
          .a_stride = items,
          .a_transposed = true,
          .b = x.data(),
          .b_stride = dim,
          .c = item_gradients.data(),
          .c_stride = dim,
          .m = items,
          .n = dim,
          .k = positions,
          .accumulate = true,
          .workspace = workspace});
  }

  std::size_t dim;
  std::vector<float> x;
  std::vector<float> table;
  std::vector<float> losses;
  std::vector<float> lse;
  std::vector<float> x_gradients;
  std::vector<float> item_gradients;
  std::vector<float> logits;
  std::vector<float> workspace;
  std::vector<std::uint32_t> labels;
};

void vocab_softmax_batch(benchmark::State& state) {
  vocab_bench_case one(static_cast<std::size_t>(state.range(0)));
  compare(
      state,
      positions * items,
      0,
      [&one](std::size_t) { one.forward(); },
      [&one](std::size_t) { one.bare_logits(); });
}
BENCHMARK(vocab_softmax_batch)->Arg(64)->Arg(256)->UseManualTime();

void vocab_softmax_backward_batch(benchmark::State& state) {
  vocab_bench_case one(static_cast<std::size_t>(state.range(0)));
  one.forward();
  compare(
      state,
      positions * items,
      0,
      [&one](std::size_t) { one.backward(); },
      [&one](std::size_t) {
        one.bare_logits();
        one.bare_gradients();
      });
}
BENCHMARK(vocab_softmax_backward_batch)->Arg(64)->Arg(256)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
