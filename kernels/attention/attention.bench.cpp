#include "kernels/attention/attention.hpp"

#include "kernels/gemm/gemm.hpp"
#include "kernels/runtime/bench_cases.hpp"

#include <algorithm>

namespace headrace::kernels {
namespace {

struct attention_size {
  std::size_t batch = 1;
  std::size_t length = 1;
  std::size_t heads = 1;
  std::size_t head_dim = 1;
  attention_mask mask = {};
};

/// A batch of sequences of one length in a fused buffer of q, k and v, as a projection leaves it.
struct attention_bench {
  explicit attention_bench(const attention_size& s)
      : size(s),
        width(s.heads * s.head_dim),
        qkv(random_floats(s.batch * s.length * 3 * width)),
        gradients(qkv.size()),
        o(s.batch * s.length * width),
        d_o(random_floats(o.size())),
        lse(s.batch * s.length * s.heads),
        workspace(std::max(attention_workspace(s.head_dim),
                           attention_backward_workspace(s.head_dim, s.length))) {
    for (std::size_t i = 0; i <= s.batch; ++i)
      offsets.push_back(static_cast<std::uint32_t>(i * s.length));
  }

  attention_args forward_args() {
    return {.q = qkv.data(),
            .q_stride = 3 * width,
            .k = qkv.data() + width,
            .k_stride = 3 * width,
            .v = qkv.data() + 2 * width,
            .v_stride = 3 * width,
            .offsets = offsets,
            .heads = size.heads,
            .kv_heads = size.heads,
            .head_dim = size.head_dim,
            .scale = 1.0F,
            .mask = size.mask,
            .o = o.data(),
            .o_stride = width,
            .lse = lse,
            .workspace = workspace};
  }
  attention_backward_args backward_args() {
    return {.forward = forward_args(),
            .d_o = d_o.data(),
            .d_o_stride = width,
            .dq = gradients.data(),
            .dq_stride = 3 * width,
            .dk = gradients.data() + width,
            .dk_stride = 3 * width,
            .dv = gradients.data() + 2 * width,
            .dv_stride = 3 * width,
            .workspace = workspace};
  }
  /// Pairs of query and key that see each other, over heads and sequences, times 2 head_dim: the
  /// FLOP of one product over them.
  double product_flop() const {
    double pairs = 0.0;
    for (std::size_t i = 0; i < size.length; ++i) {
      const std::size_t keys = size.mask.causal ? i + 1 : size.length;
      const std::size_t near = std::min(keys, size.mask.window);
      pairs += static_cast<double>(near + std::min(size.mask.globals, keys - near));
    }
    return pairs * static_cast<double>(2 * size.head_dim * size.heads * size.batch);
  }

  attention_size size;
  std::size_t width;
  std::vector<float> qkv;
  std::vector<float> gradients;
  std::vector<float> o;
  std::vector<float> d_o;
  std::vector<float> lse;
  std::vector<float> workspace;
  std::vector<std::uint32_t> offsets;
};

/// The bare matrix product, at a size where it is good.
struct bare_gemm {
  static constexpr std::size_t n = 512;
  static constexpr double flop = 2.0 * n * n * n;

  void run() {
    gemm({.a = a.data(),
          .a_stride = n,
          .b = b.data(),
          .b_stride = n,
          .c = c.data(),
          .c_stride = n,
          .m = n,
          .n = n,
          .k = n,
          .workspace = workspace});
  }
  std::vector<float> a = random_floats(n * n);
  std::vector<float> b = random_floats(n * n);
  std::vector<float> c = std::vector<float>(n * n);
  std::vector<float> workspace = std::vector<float>(gemm_workspace(n, n, n));
};

/// Rates on useful FLOP, and `share` of the bare product's rate.
template <class Op>
void compare_with_gemm(benchmark::State& state, double flop, const Op& op) {
  bare_gemm peer;
  compare(state, 1, 0, op, [&peer](std::size_t) { peer.run(); });
  const double rate = flop / state.counters["ns/item"].value;
  const double bare_rate = bare_gemm::flop / state.counters["peer_ns/item"].value;
  state.counters["GFLOP/s"] = rate;
  state.counters["gemm_GFLOP/s"] = bare_rate;
  state.counters["share"] = rate / bare_rate;
}

void attention_forward_of(benchmark::State& state, const attention_size& size) {
  attention_bench one(size);
  compare_with_gemm(
      state, 2.0 * one.product_flop(), [&one](std::size_t) { attention(one.forward_args()); });
}
void attention_backward_of(benchmark::State& state, const attention_size& size) {
  attention_bench one(size);
  attention(one.forward_args());
  compare_with_gemm(state, 5.0 * one.product_flop(), [&one](std::size_t) {
    attention_backward(one.backward_args());
  });
}

/// A recommender's batch: histories of 200.
constexpr attention_size histories = {.batch = 32, .length = 200, .heads = 4, .head_dim = 16};
constexpr attention_size causal_histories = {
    .batch = 32, .length = 200, .heads = 4, .head_dim = 16, .mask = {.causal = true}};
constexpr attention_size long_histories = {
    .batch = 4, .length = 2048, .heads = 8, .head_dim = 32, .mask = {.causal = true}};
constexpr attention_size text = {
    .length = 1024, .heads = 8, .head_dim = 64, .mask = {.causal = true}};

BENCHMARK_CAPTURE(attention_forward_of, b32_s200_d16, histories)->UseManualTime();
BENCHMARK_CAPTURE(attention_forward_of, b32_s200_d16_causal, causal_histories)->UseManualTime();
BENCHMARK_CAPTURE(attention_forward_of, b4_s2048_d32_causal, long_histories)->UseManualTime();
BENCHMARK_CAPTURE(attention_forward_of, s1024_d64_causal, text)->UseManualTime();

BENCHMARK_CAPTURE(attention_backward_of, b32_s200_d16, histories)->UseManualTime();
BENCHMARK_CAPTURE(attention_backward_of, b32_s200_d16_causal, causal_histories)->UseManualTime();
BENCHMARK_CAPTURE(attention_backward_of, b4_s2048_d32_causal, long_histories)->UseManualTime();
BENCHMARK_CAPTURE(attention_backward_of, s1024_d64_causal, text)->UseManualTime();

/// One head of state.range(0) tokens with a window of 256 and 8 globals; peer: the same without a
/// window. `share` is how many times faster the window makes it; arithmetic alone says 31 at 16 Ki.
void attention_window(benchmark::State& state) {
  attention_size size = {
      .length = static_cast<std::size_t>(state.range(0)), .head_dim = 64, .mask = {.causal = true}};
  attention_bench full(size);
  size.mask = {.causal = true, .window = 256, .globals = 8};
  attention_bench windowed(size);
  compare(
      state,
      size.length,
      0,
      [&windowed](std::size_t) { attention(windowed.forward_args()); },
      [&full](std::size_t) { attention(full.forward_args()); });
  const double ns = state.counters["ns/item"].value * static_cast<double>(size.length);
  state.counters["GFLOP/s"] = 2.0 * windowed.product_flop() / ns;
}
BENCHMARK(attention_window)->Arg(4096)->Arg(16384)->UseManualTime();

/// Half of the heads inactive; peer: all of them. `share` 2 = the others cost nothing.
void attention_half_gated(benchmark::State& state) {
  attention_bench one(histories);
  std::vector<std::uint8_t> active;
  for (std::size_t i = 0; i < histories.batch * histories.heads; ++i)
    active.push_back(static_cast<std::uint8_t>(i % 2));
  attention_args gated = one.forward_args();
  gated.active = active;
  compare(
      state,
      histories.batch * histories.heads,
      0,
      [&gated](std::size_t) { attention(gated); },
      [&one](std::size_t) { attention(one.forward_args()); });
}
BENCHMARK(attention_half_gated)->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
