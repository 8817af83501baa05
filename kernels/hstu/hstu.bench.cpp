#include "kernels/hstu/hstu.hpp"

#include "kernels/attention/attention.hpp"
#include "kernels/runtime/bench_cases.hpp"

#include <algorithm>

namespace headrace::kernels {
namespace {

/// Sequences of one length in a fused buffer of q, k and v, as the projection leaves it.
struct hstu_bench {
  explicit hstu_bench(const benchmark::State& state)
      : length(argument(state, 0)),
        heads(argument(state, 1)),
        head_dim(argument(state, 2)),
        biased(argument(state, 3) != 0),
        batch(std::max<std::size_t>(1, 4096 / length)),
        width(heads * head_dim),
        qkv(random_floats(batch * length * 3 * width)),
        gradients(qkv.size()),
        o(batch * length * width),
        d_o(random_floats(o.size())),
        lse(batch * length * heads),
        table(biased ? heads * (2 * max_distance + 1) : 0),
        table_gradient(table.size()),
        workspace(std::max({hstu_workspace(head_dim, head_dim),
                            hstu_backward_workspace(head_dim, head_dim, length),
                            attention_workspace(head_dim),
                            attention_backward_workspace(head_dim, length)})) {
    for (std::size_t i = 0; i <= batch; ++i)
      offsets.push_back(static_cast<std::uint32_t>(i * length));
  }
  static std::size_t argument(const benchmark::State& state, int at) {
    return static_cast<std::size_t>(state.range(at));
  }

  hstu_args forward_args() {
    return {.q = qkv.data(),
            .q_stride = 3 * width,
            .k = qkv.data() + width,
            .k_stride = 3 * width,
            .v = qkv.data() + 2 * width,
            .v_stride = 3 * width,
            .offsets = offsets,
            .heads = heads,
            .head_dim = head_dim,
            .value_dim = head_dim,
            .bias_table = table,
            .max_distance = max_distance,
            .o = o.data(),
            .o_stride = width,
            .workspace = workspace};
  }
  hstu_backward_args backward_args() {
    return {.forward = forward_args(),
            .d_o = d_o.data(),
            .d_o_stride = width,
            .dq = gradients.data(),
            .dq_stride = 3 * width,
            .dk = gradients.data() + width,
            .dk_stride = 3 * width,
            .dv = gradients.data() + 2 * width,
            .dv_stride = 3 * width,
            .bias_table_gradient = table_gradient,
            .workspace = workspace};
  }
  attention_args softmax_args() {
    return {.q = qkv.data(),
            .q_stride = 3 * width,
            .k = qkv.data() + width,
            .k_stride = 3 * width,
            .v = qkv.data() + 2 * width,
            .v_stride = 3 * width,
            .offsets = offsets,
            .heads = heads,
            .kv_heads = heads,
            .head_dim = head_dim,
            .mask = {.causal = true},
            .bias_table = table,
            .max_distance = max_distance,
            .o = o.data(),
            .o_stride = width,
            .lse = lse,
            .workspace = workspace};
  }
  attention_backward_args softmax_backward_args() {
    return {.forward = softmax_args(),
            .d_o = d_o.data(),
            .d_o_stride = width,
            .dq = gradients.data(),
            .dq_stride = 3 * width,
            .dk = gradients.data() + width,
            .dk_stride = 3 * width,
            .dv = gradients.data() + 2 * width,
            .dv_stride = 3 * width,
            .bias_table_gradient = table_gradient,
            .workspace = workspace};
  }

  static constexpr std::size_t max_distance = 128;
  std::size_t length;
  std::size_t heads;
  std::size_t head_dim;
  bool biased;
  std::size_t batch;
  std::size_t width;
  std::vector<float> qkv;
  std::vector<float> gradients;
  std::vector<float> o;
  std::vector<float> d_o;
  std::vector<float> lse;
  std::vector<float> table;
  std::vector<float> table_gradient;
  std::vector<float> workspace;
  std::vector<std::uint32_t> offsets;
};

/// GFLOP/s on useful FLOP: `products` of 2 head_dim for each pair, half the square.
void report(benchmark::State& state, const hstu_bench& one, double products) {
  const double length = static_cast<double>(one.length);
  const double pairs = 0.5 * (length + 1.0) * static_cast<double>(one.heads);
  const double flop = products * 2.0 * static_cast<double>(one.head_dim) * pairs;
  state.counters["GFLOP/s"] = flop / state.counters["ns/item"].value;
}

/// Arguments: length, heads, head_dim, whether biased. Peer: causal softmax attention of the same
/// sizes. An item is a token.
void hstu_forward(benchmark::State& state) {
  hstu_bench one(state);
  compare(
      state,
      one.batch * one.length,
      0,
      [&one](std::size_t) { hstu(one.forward_args()); },
      [&one](std::size_t) { attention(one.softmax_args()); });
  report(state, one, 2.0);
}

void hstu_back(benchmark::State& state) {
  hstu_bench one(state);
  attention(one.softmax_args());
  compare(
      state,
      one.batch * one.length,
      0,
      [&one](std::size_t) { hstu_backward(one.backward_args()); },
      [&one](std::size_t) { attention_backward(one.softmax_backward_args()); });
  report(state, one, 5.0);
}

#define HEADRACE_SEQUENCES(name) \
  BENCHMARK(name)                \
      ->Args({50, 4, 32, 1})     \
      ->Args({200, 4, 16, 0})    \
      ->Args({200, 4, 32, 1})    \
      ->Args({1024, 4, 64, 0})   \
      ->Args({1024, 4, 64, 1})   \
      ->UseManualTime()
HEADRACE_SEQUENCES(hstu_forward);
HEADRACE_SEQUENCES(hstu_back);

}  // namespace
}  // namespace headrace::kernels
