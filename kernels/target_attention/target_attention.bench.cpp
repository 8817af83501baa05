#include "kernels/target_attention/target_attention.hpp"

#include "kernels/gemm/gemm.hpp"
#include "kernels/runtime/bench_cases.hpp"

namespace headrace::kernels {
namespace {

/// A batch of 64 histories, of half to one and a half times the mean length.
struct target_batch {
  target_batch(std::size_t mean, std::size_t width, std::size_t units) : dim(width), hidden(units) {
    random_stream random(1);
    while (offsets.size() <= samples) {
      const auto length = static_cast<std::uint32_t>(mean / 2 + random.next_below(mean + 1));
      longest = std::max<std::size_t>(longest, length);
      offsets.push_back(offsets.back() + length);
    }
    tokens = offsets.back();
    history = random_floats(tokens * dim, 2);
    targets = random_floats(samples * dim, 3);
    first_weights = random_floats(4 * dim * hidden, 4);
    first_bias = random_floats(hidden, 5);
    second_weights = random_floats(hidden, 6);
    activations.resize(tokens * hidden);
    attention.resize(tokens);
    o.resize(samples * dim);
    history_gradients.resize(history.size());
    target_gradients.resize(targets.size());
    first_weight_gradients.resize(first_weights.size());
    first_bias_gradients.resize(hidden);
    second_weight_gradients.resize(hidden);
    workspace.resize(target_attention_workspace(dim, hidden, longest));
    backward_workspace.resize(target_attention_backward_workspace(dim, hidden, longest));
    parts = random_floats(tokens * 4 * dim, 7);
    part_gradients.resize(parts.size());
    dz = random_floats(tokens * hidden, 8);
    gemm_space.resize(gemm_workspace(tokens, hidden, 4 * dim) +
                      gemm_workspace(tokens, 4 * dim, hidden) +
                      gemm_workspace(4 * dim, hidden, tokens));
  }

  target_attention_args forward() {
    return {.history = history,
            .targets = targets,
            .offsets = offsets,
            .dim = dim,
            .hidden = hidden,
            .first_weights = first_weights,
            .first_bias = first_bias,
            .second_weights = second_weights,
            .activations = activations,
            .attention = attention,
            .o = o,
            .workspace = workspace};
  }
  target_attention_backward_args backward() {
    return {.forward = forward(),
            .o_gradients = targets,
            .history_gradients = history_gradients,
            .target_gradients = target_gradients,
            .first_weight_gradients = first_weight_gradients,
            .first_bias_gradients = first_bias_gradients,
            .second_weight_gradients = second_weight_gradients,
            .workspace = backward_workspace};
  }

  /// The least that the concatenating form does: its product of depth 4 dim over all tokens, on
  /// parts that lie ready.
  void forward_of_parts() {
    gemm({.a = parts.data(),
          .a_stride = 4 * dim,
          .b = first_weights.data(),
          .b_stride = hidden,
          .c = dz.data(),
          .c_stride = hidden,
          .m = tokens,
          .n = hidden,
          .k = 4 * dim,
          .workspace = gemm_space});
  }

  /// And the two of its backward.
  void backward_of_parts() {
    gemm({.a = parts.data(),
          .a_stride = 4 * dim,
          .a_transposed = true,
          .b = dz.data(),
          .b_stride = hidden,
          .c = first_weight_gradients.data(),
          .c_stride = hidden,
          .m = 4 * dim,
          .n = hidden,
          .k = tokens,
          .accumulate = true,
          .workspace = gemm_space});
    gemm({.a = dz.data(),
          .a_stride = hidden,
          .b = first_weights.data(),
          .b_stride = hidden,
          .b_transposed = true,
          .c = part_gradients.data(),
          .c_stride = 4 * dim,
          .m = tokens,
          .n = 4 * dim,
          .k = hidden,
          .workspace = gemm_space});
  }

  static constexpr std::size_t samples = 64;
  std::size_t dim;
  std::size_t hidden;
  std::size_t longest = 0;
  std::size_t tokens = 0;
  std::vector<std::uint32_t> offsets = {0};
  std::vector<float> history, targets, first_weights, first_bias, second_weights;
  std::vector<float> activations, attention, o;
  std::vector<float> history_gradients, target_gradients, first_weight_gradients;
  std::vector<float> first_bias_gradients, second_weight_gradients;
  std::vector<float> workspace, backward_workspace, parts, part_gradients, dz, gemm_space;
};

target_batch batch_of(const benchmark::State& state) {
  return {static_cast<std::size_t>(state.range(0)),
          static_cast<std::size_t>(state.range(1)),
          static_cast<std::size_t>(state.range(2))};
}

/// Arguments: mean length, dim, hidden. Peer: the bare products of the concatenating
/// form. An item is a token.
void target_attention_forward(benchmark::State& state) {
  target_batch one = batch_of(state);
  compare(
      state,
      one.tokens,
      0,
      [&one](std::size_t) { target_attention(one.forward()); },
      [&one](std::size_t) { one.forward_of_parts(); });
}

void target_attention_back(benchmark::State& state) {
  target_batch one = batch_of(state);
  target_attention(one.forward());
  compare(
      state,
      one.tokens,
      0,
      [&one](std::size_t) { target_attention_backward(one.backward()); },
      [&one](std::size_t) { one.backward_of_parts(); });
}

#define HEADRACE_HISTORIES(name) \
  BENCHMARK(name)                \
      ->Args({5, 64, 64})        \
      ->Args({20, 64, 64})       \
      ->Args({50, 16, 36})       \
      ->Args({50, 32, 64})       \
      ->Args({50, 64, 80})       \
      ->Args({200, 64, 64})      \
      ->UseManualTime()
HEADRACE_HISTORIES(target_attention_forward);
HEADRACE_HISTORIES(target_attention_back);

}  // namespace
}  // namespace headrace::kernels
