#pragma once

#include "kernels/runtime/test_cases.hpp"
#include "kernels/target_attention/target_attention.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

/// What the tests of target attention draw from: ragged batches with all their parameters.
namespace headrace::kernels {

struct target_shape {
  std::vector<std::uint32_t> offsets;
  std::size_t dim = 1;
  std::size_t hidden = 1;
  target_activation activation = target_activation::relu;
  bool softmax = false;
  bool second_bias = true;

  std::size_t samples() const { return offsets.size() - 1; }
  std::size_t tokens() const { return offsets.back(); }
  std::size_t longest() const {
    std::size_t most = 0;
    for (std::size_t s = 0; s < samples(); ++s)
      most = std::max<std::size_t>(most, offsets[s + 1] - offsets[s]);
    return most;
  }
};

template <class Value>
struct target_result {
  explicit target_result(const target_shape& s)
      : activations(s.tokens() * s.hidden, nan),
        attention(s.tokens(), nan),
        o(s.samples() * s.dim, nan) {}
  static constexpr Value nan = std::numeric_limits<Value>::quiet_NaN();
  misaligned<Value> activations;
  misaligned<Value> attention;
  misaligned<Value> o;
};

/// Everything that has a gradient, or the gradients.
template <class Value>
struct target_inputs {
  explicit target_inputs(const target_shape& s, Value fill = Value{})
      : history(s.tokens() * s.dim, fill),
        targets(s.samples() * s.dim, fill),
        first_weights(4 * s.dim * s.hidden, fill),
        first_bias(s.hidden, fill),
        second_weights(s.hidden, fill),
        second_bias(s.second_bias ? 1 : 0, fill) {}
  std::array<std::span<Value>, 6> all() {
    return {history.span(),
            targets.span(),
            first_weights.span(),
            first_bias.span(),
            second_weights.span(),
            second_bias.span()};
  }
  std::array<std::span<const Value>, 6> all() const {
    return {history.span(),
            targets.span(),
            first_weights.span(),
            first_bias.span(),
            second_weights.span(),
            second_bias.span()};
  }
  misaligned<Value> history;
  misaligned<Value> targets;
  misaligned<Value> first_weights;
  misaligned<Value> first_bias;
  misaligned<Value> second_weights;
  misaligned<Value> second_bias;
};

template <class Value>
struct target_case {
  target_case(const target_shape& s, std::uint64_t seed)
      : shape(s), in(s), before(s), o_gradients(s.samples() * s.dim) {
    random_stream random(seed);
    for (const std::span<Value> values : in.all()) {
      for (Value& value : values) value = static_cast<Value>(next_signed(random));
    }
    for (const std::span<Value> values : before.all()) {
      for (Value& value : values) value = static_cast<Value>(next_signed(random));
    }
    for (Value& value : o_gradients.span()) value = static_cast<Value>(next_signed(random));
  }
  template <class Other>
  explicit target_case(const target_case<Other>& other)
      : shape(other.shape),
        in(other.shape),
        before(other.shape),
        o_gradients(other.o_gradients.span().size()) {
    copy(other.in, in);
    copy(other.before, before);
    std::copy(other.o_gradients.span().begin(),
              other.o_gradients.span().end(),
              o_gradients.span().begin());
  }
  template <class From>
  static void copy(const From& from, target_inputs<Value>& to) {
    for (std::size_t i = 0; i < to.all().size(); ++i)
      std::copy(from.all()[i].begin(), from.all()[i].end(), to.all()[i].begin());
  }

  basic_target_attention_args<Value> args(target_result<Value>& out) const {
    return {.history = in.history.span(),
            .targets = in.targets.span(),
            .offsets = shape.offsets,
            .dim = shape.dim,
            .hidden = shape.hidden,
            .first_weights = in.first_weights.span(),
            .first_bias = in.first_bias.span(),
            .second_weights = in.second_weights.span(),
            .second_bias = in.second_bias.span(),
            .activation = shape.activation,
            .softmax = shape.softmax,
            .activations = out.activations.span(),
            .attention = out.attention.span(),
            .o = out.o.span()};
  }

  template <class Op>
  target_result<Value> forward(const Op& op) const {
    target_result<Value> out(shape);
    misaligned<Value> workspace(
        target_attention_workspace(shape.dim, shape.hidden, shape.longest()),
        target_result<Value>::nan);
    basic_target_attention_args<Value> one = args(out);
    one.workspace = workspace.span();
    op(one);
    return out;
  }

  /// Gradients in the shape of the inputs; those of parameters are added to `before`.
  template <class Op>
  target_inputs<Value> backward(const Op& op, const target_result<Value>& out) const {
    target_inputs<Value> to = before;
    std::fill(to.history.span().begin(), to.history.span().end(), target_result<Value>::nan);
    std::fill(to.targets.span().begin(), to.targets.span().end(), target_result<Value>::nan);
    target_result<Value> copy = out;
    misaligned<Value> workspace(
        target_attention_backward_workspace(shape.dim, shape.hidden, shape.longest()),
        target_result<Value>::nan);
    op(basic_target_attention_backward_args<Value>{
        .forward = args(copy),
        .o_gradients = o_gradients.span(),
        .history_gradients = to.history.span(),
        .target_gradients = to.targets.span(),
        .first_weight_gradients = to.first_weights.span(),
        .first_bias_gradients = to.first_bias.span(),
        .second_weight_gradients = to.second_weights.span(),
        .second_bias_gradients = to.second_bias.span(),
        .workspace = workspace.span()});
    return to;
  }

  target_shape shape;
  target_inputs<Value> in;
  target_inputs<Value> before;
  misaligned<Value> o_gradients;
};

template <class Check>
void for_each_target_case(const Check& check) {
  const std::vector<std::vector<std::uint32_t>> batches = {
      {0}, {0, 0}, {0, 1}, {0, 3, 3, 20, 21}, {0, 33, 64}, {0, 300}};
  for (std::size_t b = 0; b < batches.size(); ++b) {
    for (const std::size_t dim : {0U, 1U, 3U, 8U, 17U, 64U}) {
      for (const std::size_t hidden : {0U, 1U, 4U, 15U, 36U, 65U}) {
        if (batches[b].back() > 100 && dim * hidden > 1200) continue;
        for (const bool softmax : {false, true}) {
          const target_shape shape = {.offsets = batches[b],
                                      .dim = dim,
                                      .hidden = hidden,
                                      .activation = (dim + hidden) % 2 == 0
                                                        ? target_activation::relu
                                                        : target_activation::sigmoid,
                                      .softmax = softmax,
                                      .second_bias = hidden % 3 != 0};
          SCOPED_TRACE("batch " + std::to_string(b) + ", dim " + std::to_string(dim) + ", hidden " +
                       std::to_string(hidden) + (softmax ? ", softmax" : ""));
          check(target_case<float>(shape, test_seed() + 1000 * b + 10 * dim + hidden));
        }
      }
    }
  }
}

}  // namespace headrace::kernels
