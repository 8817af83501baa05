#pragma once

#include "kernels/dense_update/dense_tensors.hpp"
#include "kernels/loss_scaler/finite_check_kernel.hpp"
#include "kernels/runtime/near_math.hpp"
#include "kernels/runtime/row_team.hpp"
#include "kernels/sparse_update/sparse_update.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>

/// Dense optimizers on a device (dense_update.hpp has the definition), to be compiled without fused
/// multiply-adds: then they give the CPU's bits.
namespace headrace::kernels::device {

struct dense_numbers {
  float clip;
  float norm_max;
  float momentum;
  float beta1;
  float beta2;
};

/// What a tensor's step needs once.
struct dense_factors {
  float rate;     // adam: r; the others the rate itself
  float epsilon;  // adam: e
  float decay;    // adamw: rate * weight_decay
  float l2;
};

struct dense_view {
  const dense_tensor* tensors;  // [count], planned
  std::uint32_t count;
  const gradient_verdict* verdict;  // or null: finite, not scaled
  dense_factors* factors;           // [count]
  dense_numbers numbers;
  float* weights;
  const float* gradients;
  float* state;
  std::uint16_t* brains;  // or null
  bool aligned;           // the four arrays start at multiples of 16 bytes
};

/// beta^n by squaring: the factors of n's set bits, lowest first.
HEADRACE_DEVICE double power_of(float beta, std::uint32_t n) {
  double square = static_cast<double>(beta);
  double product = 1.0;
  for (; n != 0; n /= 2) {
    if (n % 2 == 1) product = product * square;
    square = square * square;
  }
  return product;
}

HEADRACE_DEVICE float limited_rate(double x) {
  const double largest = static_cast<double>(std::numeric_limits<float>::max());
  const double low = x < -largest ? -largest : x;
  return static_cast<float>(largest < low ? largest : low);
}

/// r and e of a tensor whose steps, in `word`, become one more.
HEADRACE_DEVICE void take_adam_step(const dense_view& view, float* word, dense_factors& to) {
  std::uint32_t steps = std::bit_cast<std::uint32_t>(*word);
  steps += steps < 0xFFFFFFFFU ? 1 : 0;
  *word = std::bit_cast<float>(steps);
  const double root = sqrt_wide(1.0 - power_of(view.numbers.beta2, steps));
  const double factor = root / (1.0 - power_of(view.numbers.beta1, steps));
  to.rate = limited_rate(static_cast<double>(to.rate) * factor);
  to.epsilon = static_cast<float>(static_cast<double>(adam_epsilon) * root);
}

HEADRACE_DEVICE bool is_to_apply(const dense_view& view) {
  return view.verdict == nullptr || view.verdict->finite != 0;
}

/// First launch: a thread a tensor, which counts the step.
template <update_rule Rule>
HEADRACE_KERNEL void dense_factors_kernel(dense_view view) {
  const std::uint32_t t = block_index().x * block_threads() + thread_index();
  if (t >= view.count || !is_to_apply(view)) return;
  const dense_tensor& tensor = view.tensors[t];
  dense_factors made = {tensor.rate, 0.0F, tensor.rate * tensor.weight_decay, tensor.l2};
  if constexpr (Rule == update_rule::adam || Rule == update_rule::adamw) {
    take_adam_step(view, view.state + tensor.state_begin + 2 * tensor.size, made);
  }
  view.factors[t] = made;
}

HEADRACE_DEVICE float limited_to(float x, float bound) {
  const float low = x < -bound ? -bound : x;
  return bound < low ? bound : low;
}
HEADRACE_DEVICE float at_most_max(float x) { return weight_max < x ? weight_max : x; }

/// What gradients are multiplied by, in turn.
struct gradient_scale {
  float inverse;
  float factor;
};

HEADRACE_DEVICE gradient_scale scale_of(const dense_view& view) {
  if (view.verdict == nullptr) return {1.0F, 1.0F};
  const double largest = static_cast<double>(view.numbers.norm_max);
  const double norm = sqrt_wide(view.verdict->squares);
  if (largest <= 0.0 || norm <= largest) return {view.verdict->inverse, 1.0F};
  return {view.verdict->inverse, static_cast<float>(largest / norm)};
}

HEADRACE_DEVICE float shaped_gradient(
    float given, float w, const gradient_scale& scale, float l2, float clip) {
  float g = given * scale.inverse;
  if (scale.factor != 1.0F) g = g * scale.factor;
  if (!(size_of(g) <= std::numeric_limits<float>::max())) g = 0.0F;
  if (clip > 0.0F) g = limited_to(g, clip);
  if (l2 != 0.0F) g = g + l2 * w;
  return limited_to(g, weight_max);
}

HEADRACE_DEVICE float adam_weight(
    float w, float g, float& m, float& v, const dense_factors& of, const dense_numbers& numbers) {
  m = limited_to(numbers.beta1 * m + (1.0F - numbers.beta1) * g, weight_max);
  v = at_most_max(numbers.beta2 * v + (1.0F - numbers.beta2) * (g * g));
  return w - (of.rate * m) / (sqrt(v) + of.epsilon);
}

/// The weight after the rule; m and v are its state, where the rule has them.
template <update_rule Rule>
HEADRACE_DEVICE float stepped_weight(
    float w, float g, float& m, float& v, const dense_factors& of, const dense_numbers& numbers) {
  if constexpr (Rule == update_rule::add) {
    return w + g;
  } else if constexpr (Rule == update_rule::sgd) {
    return w - of.rate * g;
  } else if constexpr (Rule == update_rule::adagrad) {
    m = at_most_max(m + g * g);
    return w - (of.rate * g) / (sqrt(m) + adagrad_epsilon);
  } else if constexpr (Rule == update_rule::momentum) {
    m = limited_to(numbers.momentum * m + g, weight_max);
    return w - of.rate * m;
  } else if constexpr (Rule == update_rule::adam) {
    return adam_weight(w, g, m, v, of, numbers);
  } else {
    return adam_weight(limited_to(w - of.decay * w, weight_max), g, m, v, of, numbers);
  }
}

constexpr bool has_first_moment(update_rule rule) {
  return rule != update_rule::add && rule != update_rule::sgd;
}
constexpr bool has_second_moment(update_rule rule) {
  return rule == update_rule::adam || rule == update_rule::adamw;
}

/// The nearest bfloat16 of four weights, from c on.
HEADRACE_DEVICE void store_brains(std::uint16_t* to,
                                  unsigned c,
                                  unsigned size,
                                  const four_floats& w) {
  for (unsigned j = 0; j < 4; ++j) {
    if (c + j < size) to[c + j] = static_cast<std::uint16_t>(pack_brains(w.v[j], 0.0F));
  }
}

/// Four elements of a tensor of `size`, from c on.
template <update_rule Rule>
HEADRACE_DEVICE void update_four(const dense_view& view,
                                 const dense_tensor& tensor,
                                 const dense_factors& of,
                                 const gradient_scale& scale,
                                 unsigned c,
                                 bool aligned) {
  const auto size = static_cast<unsigned>(tensor.size);
  float* first = view.state + tensor.state_begin;
  float* second = first + tensor.size;
  four_floats w = load_four(view.weights + tensor.begin, c, size, aligned);
  const four_floats g = load_four(view.gradients + tensor.begin, c, size, aligned);
  four_floats m = {};
  four_floats v = {};
  if constexpr (has_first_moment(Rule)) m = load_four(first, c, size, aligned);
  if constexpr (has_second_moment(Rule)) v = load_four(second, c, size, aligned);
  HEADRACE_UNROLL
  for (unsigned j = 0; j < 4; ++j) {
    const float own = shaped_gradient(g.v[j], w.v[j], scale, of.l2, view.numbers.clip);
    const float moved = stepped_weight<Rule>(w.v[j], own, m.v[j], v.v[j], of, view.numbers);
    w.v[j] = limited_to(moved, weight_max);
  }
  store_four(view.weights + tensor.begin, c, size, aligned, w);
  if constexpr (has_first_moment(Rule)) store_four(first, c, size, aligned, m);
  if constexpr (has_second_moment(Rule)) store_four(second, c, size, aligned, v);
  if (view.brains != nullptr) store_brains(view.brains + tensor.begin, c, size, w);
}

/// Second launch, one for all tensors: a block has up to dense_block elements of one tensor.
/// Tensors are shorter than 2^32. Grid: the planned blocks, of 256 threads.
template <update_rule Rule>
HEADRACE_KERNEL void dense_update_kernel(dense_view view) {
  if (!is_to_apply(view)) return;
  const std::uint32_t t = dense_tensor_of(view.tensors, view.count, block_index().x);
  const dense_tensor tensor = view.tensors[t];
  const dense_factors of = view.factors[t];
  const gradient_scale scale = scale_of(view);
  const bool aligned =
      view.aligned && tensor.begin % 4 == 0 && tensor.size % 4 == 0 && tensor.state_begin % 4 == 0;
  const unsigned first = (block_index().x - tensor.first_block) * dense_block;
  const unsigned left = static_cast<unsigned>(tensor.size) - first;
  const unsigned end = first + (left < dense_block ? left : dense_block);
  for (unsigned c = first + thread_index() * 4; c < end; c += block_threads() * 4) {
    update_four<Rule>(view, tensor, of, scale, c, aligned);
  }
}

}  // namespace headrace::kernels::device
