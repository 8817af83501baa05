#pragma once

#include "kernels/attention/attention.hpp"
#include "kernels/runtime/test_cases.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

/// What the tests of attention draw from: ragged batches in one fused buffer, and norms of errors.
namespace headrace::kernels {

struct attention_shape {
  std::vector<std::size_t> lengths;
  std::size_t heads = 2;
  std::size_t kv_heads = 1;
  std::size_t head_dim = 8;
  attention_mask mask = {};
  bool alibi = false;
  std::size_t table = 0;  // 1 + max_distance, or 0 for none
  bool gated = false;
  double scale = 0.0;  // 0: 1 / √head_dim
};

inline std::string describe(const attention_shape& s) {
  std::string text = "lengths";
  for (const std::size_t n : s.lengths) text += " " + std::to_string(n);
  text += ", heads " + std::to_string(s.heads) + "/" + std::to_string(s.kv_heads) + ", dim " +
          std::to_string(s.head_dim) + (s.mask.causal ? ", causal" : "");
  if (s.mask.window != attention_mask::no_window)
    text += ", window " + std::to_string(s.mask.window);
  if (s.mask.globals != 0) text += ", globals " + std::to_string(s.mask.globals);
  if (s.alibi) text += ", alibi";
  if (s.table != 0) text += ", table " + std::to_string(s.table);
  return text + (s.gated ? ", gated" : "");
}

template <class Value>
constexpr Value poison = std::numeric_limits<Value>::quiet_NaN();

/// Inputs, outputs and gradients of one batch; the same numbers for float and double. q, k and v
/// (and their gradients) lie in one buffer, with poison between tokens.
template <class Value>
struct attention_case {
  static constexpr std::size_t gap = 3;

  explicit attention_case(const attention_shape& s, std::uint64_t seed = test_seed())
      : shape(s),
        offsets(offsets_of(s)),
        q_width(s.heads * s.head_dim),
        kv_width(s.kv_heads * s.head_dim),
        stride(q_width + 2 * kv_width + gap),
        tokens(offsets.back()),
        qkv(tokens * stride, poison<Value>),
        gradients(tokens * stride, poison<Value>),
        o(tokens * q_width, poison<Value>),
        d_o(tokens * q_width),
        lse(tokens * s.heads, poison<Value>),
        slopes(s.alibi ? s.heads : 0),
        table(s.table == 0 ? 0 : s.heads * (2 * s.table - 1)),
        table_before(table.span().size()),
        table_gradient(table.span().size()) {
    random_stream random(seed);
    for (std::size_t i = 0; i < tokens * stride; ++i) {
      const float drawn = next_signed(random, 2.0F);
      if (i % stride < stride - gap) qkv.span()[i] = static_cast<Value>(drawn);
    }
    fill(random, d_o);
    for (Value& slope : slopes.span()) slope = static_cast<Value>(next_signed(random, 0.2F));
    fill(random, table);
    fill(random, table_before);
    for (std::size_t i = 0; s.gated && i < s.lengths.size() * s.heads; ++i)
      active.push_back(static_cast<std::uint8_t>(random.next_below(3) != 0));
  }

  basic_attention_args<Value> forward_args() {
    const double scale =
        shape.scale != 0.0 ? shape.scale : 1.0 / std::sqrt(static_cast<double>(shape.head_dim));
    return {.q = qkv.span().data(),
            .q_stride = stride,
            .k = qkv.span().data() + q_width,
            .k_stride = stride,
            .v = qkv.span().data() + q_width + kv_width,
            .v_stride = stride,
            .offsets = offsets,
            .heads = shape.heads,
            .kv_heads = shape.kv_heads,
            .head_dim = shape.head_dim,
            .scale = static_cast<Value>(static_cast<float>(scale)),
            .mask = shape.mask,
            .alibi_slopes = slopes.span(),
            .bias_table = table.span(),
            .max_distance = shape.table == 0 ? 0 : shape.table - 1,
            .active = active,
            .o = o.span().data(),
            .o_stride = q_width,
            .lse = lse.span()};
  }
  basic_attention_backward_args<Value> backward_args() {
    return {.forward = forward_args(),
            .d_o = d_o.span().data(),
            .d_o_stride = q_width,
            .dq = gradients.span().data(),
            .dq_stride = stride,
            .dk = gradients.span().data() + q_width,
            .dk_stride = stride,
            .dv = gradients.span().data() + q_width + kv_width,
            .dv_stride = stride,
            .bias_table_gradient = table_gradient.span()};
  }

  /// Runs op on poisoned outputs and a poisoned workspace of exactly the size it asks for.
  template <class Op>
  void forward(const Op& op) {
    std::ranges::fill(o.span(), poison<Value>);
    std::ranges::fill(lse.span(), poison<Value>);
    misaligned<Value> workspace(attention_workspace(shape.head_dim), poison<Value>);
    basic_attention_args<Value> args = forward_args();
    args.workspace = workspace.span();
    op(args);
  }
  template <class Op>
  void backward(const Op& op) {
    std::ranges::fill(gradients.span(), poison<Value>);
    table_gradient = table_before;
    std::size_t longest = 0;
    for (const std::size_t n : shape.lengths) longest = std::max(longest, n);
    misaligned<Value> workspace(attention_backward_workspace(shape.head_dim, longest),
                                poison<Value>);
    basic_attention_backward_args<Value> args = backward_args();
    args.workspace = workspace.span();
    op(args);
  }

  /// Columns [begin, begin + width) of the gradients of all tokens.
  std::vector<double> gradient(std::size_t begin, std::size_t width) const {
    std::vector<double> columns;
    for (std::size_t i = 0; i < tokens * stride; ++i) {
      const std::size_t column = i % stride;
      if (column >= begin && column < begin + width)
        columns.push_back(static_cast<double>(gradients.span()[i]));
    }
    return columns;
  }
  std::vector<double> dq() const { return gradient(0, q_width); }
  std::vector<double> dk() const { return gradient(q_width, kv_width); }
  std::vector<double> dv() const { return gradient(q_width + kv_width, kv_width); }
  std::vector<double> d_table() const {
    return {table_gradient.span().begin(), table_gradient.span().end()};
  }

  static std::vector<std::uint32_t> offsets_of(const attention_shape& s) {
    std::vector<std::uint32_t> sums = {0};
    for (const std::size_t n : s.lengths)
      sums.push_back(sums.back() + static_cast<std::uint32_t>(n));
    return sums;
  }
  static void fill(random_stream& random, misaligned<Value>& values) {
    for (Value& value : values.span()) value = static_cast<Value>(next_signed(random));
  }

  attention_shape shape;
  std::vector<std::uint32_t> offsets;
  std::size_t q_width;
  std::size_t kv_width;
  std::size_t stride;
  std::size_t tokens;
  misaligned<Value> qkv;
  misaligned<Value> gradients;
  misaligned<Value> o;
  misaligned<Value> d_o;
  misaligned<Value> lse;
  misaligned<Value> slopes;
  misaligned<Value> table;
  misaligned<Value> table_before;
  misaligned<Value> table_gradient;
  std::vector<std::uint8_t> active;
};

/// Shapes around the tiles' edges, each with a mask, a bias and a sharing of heads of its own.
inline std::vector<attention_shape> attention_shapes() {
  return {
      {.lengths = {}},
      {.lengths = {0, 1, 0}, .head_dim = 1},
      {.lengths = {1, 2, 3}, .head_dim = 7, .mask = {.causal = true}},
      {.lengths = {5, 0, 16, 17}, .heads = 3, .kv_heads = 3, .head_dim = 16},
      {.lengths = {63, 64, 65}, .heads = 4, .head_dim = 9, .mask = {.causal = true}},
      {.lengths = {130}, .head_dim = 33, .mask = {.window = 5}},
      {.lengths = {200, 31}, .head_dim = 64, .mask = {.causal = true, .window = 70}},
      {.lengths = {129}, .head_dim = 5, .mask = {.causal = true, .window = 1, .globals = 3}},
      {.lengths = {300}, .head_dim = 8, .mask = {.causal = true, .window = 17, .globals = 70}},
      {.lengths = {260, 3}, .head_dim = 6, .mask = {.window = 20, .globals = 9}},
      {.lengths = {90}, .head_dim = 4, .mask = {.causal = true, .window = 0, .globals = 2}},
      {.lengths = {80}, .head_dim = 4, .mask = {.window = 0}},
      {.lengths = {100, 7}, .heads = 4, .kv_heads = 2, .head_dim = 12, .alibi = true},
      {.lengths = {70, 140}, .head_dim = 24, .mask = {.causal = true}, .table = 1},
      {.lengths = {150}, .head_dim = 15, .mask = {.causal = true, .window = 40}, .table = 33},
      {.lengths = {1, 97},
       .head_dim = 40,
       .mask = {.window = 30, .globals = 4},
       .alibi = true,
       .table = 200},
      {.lengths = {20, 50, 66, 1}, .heads = 6, .kv_heads = 2, .table = 9, .gated = true},
      {.lengths = {70}, .head_dim = 128, .mask = {.causal = true}, .gated = true},
  };
}

template <class Check>
void for_each_shape(const Check& check) {
  for (const attention_shape& shape : attention_shapes()) {
    SCOPED_TRACE(describe(shape));
    check(shape);
  }
}

/// Euclidean norm; of a difference, NaN where one side is infinite and the other isn't.
inline double norm(const std::vector<double>& values) {
  double sum = 0.0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum);
}
inline double error_norm(const std::vector<double>& got, const std::vector<double>& wanted) {
  std::vector<double> errors;
  for (std::size_t i = 0; i < wanted.size(); ++i)
    errors.push_back(got[i] == wanted[i] ? 0.0 : got[i] - wanted[i]);
  return norm(errors);
}
template <class Value>
std::vector<double> doubles(std::span<Value> values) {
  return {values.begin(), values.end()};
}

}  // namespace headrace::kernels
