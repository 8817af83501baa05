#pragma once

#include "kernels/hstu/hstu.hpp"
#include "kernels/runtime/test_cases.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

/// What the tests of hstu draw from: ragged batches in one fused buffer.
namespace headrace::kernels {

struct hstu_shape {
  std::vector<std::size_t> lengths;
  std::size_t heads = 2;
  std::size_t head_dim = 8;
  std::size_t value_dim = 8;
  attention_mask mask = {.causal = true};
  std::size_t table = 0;  // 1 + max_distance, or 0 for none
  double normaliser = 0.0;
  double scale = 0.5;

  std::size_t longest() const { return lengths.empty() ? 0 : *std::ranges::max_element(lengths); }
};

inline std::string describe(const hstu_shape& s) {
  std::string text = "lengths";
  for (const std::size_t n : s.lengths) text += " " + std::to_string(n);
  return text + ", dims " + std::to_string(s.head_dim) + " " + std::to_string(s.value_dim) +
         (s.mask.causal ? ", causal" : "") + ", table " + std::to_string(s.table);
}

/// Inputs, outputs and gradients of one batch; the same numbers for float and double. q, k and v
/// (and their gradients) lie in one buffer, with poison between tokens.
template <class Value>
struct hstu_case {
  static constexpr std::size_t gap = 3;
  static constexpr Value poison = std::numeric_limits<Value>::quiet_NaN();

  explicit hstu_case(const hstu_shape& s)
      : shape(s),
        width(s.heads * s.head_dim),
        value_width(s.heads * s.value_dim),
        stride(2 * width + value_width + gap) {
    offsets = {0};
    for (const std::size_t n : s.lengths)
      offsets.push_back(offsets.back() + static_cast<std::uint32_t>(n));
    const std::size_t tokens = offsets.back();
    qkv = misaligned<Value>(tokens * stride, poison);
    gradients = qkv;
    o = misaligned<Value>(tokens * value_width);
    d_o = o;
    table = misaligned<Value>(s.table == 0 ? 0 : s.heads * (2 * s.table - 1));
    random_stream random(test_seed());
    for (std::size_t i = 0; i < tokens * stride; ++i) {
      const float drawn = next_signed(random, 2.0F);
      if (i % stride < stride - gap) qkv.span()[i] = static_cast<Value>(drawn);
    }
    for (Value& value : d_o.span()) value = static_cast<Value>(next_signed(random));
    for (Value& value : table.span()) value = static_cast<Value>(next_signed(random));
    table_before = table;
    for (Value& value : table_before.span()) value = static_cast<Value>(next_signed(random));
    table_gradient = table_before;
  }

  basic_hstu_args<Value> forward_args() {
    return {.q = qkv.span().data(),
            .q_stride = stride,
            .k = qkv.span().data() + width,
            .k_stride = stride,
            .v = qkv.span().data() + 2 * width,
            .v_stride = stride,
            .offsets = offsets,
            .heads = shape.heads,
            .head_dim = shape.head_dim,
            .value_dim = shape.value_dim,
            .scale = static_cast<Value>(shape.scale),
            .normaliser = static_cast<Value>(shape.normaliser),
            .mask = shape.mask,
            .bias_table = table.span(),
            .max_distance = shape.table == 0 ? 0 : shape.table - 1,
            .o = o.span().data(),
            .o_stride = value_width};
  }

  /// Both run on poisoned outputs and a poisoned workspace of exactly the size they ask for.
  template <class Op>
  void forward(const Op& op) {
    std::ranges::fill(o.span(), poison);
    misaligned<Value> workspace(hstu_workspace(shape.head_dim, shape.value_dim), poison);
    basic_hstu_args<Value> args = forward_args();
    args.workspace = workspace.span();
    op(args);
  }
  template <class Op>
  void backward(const Op& op) {
    std::ranges::fill(gradients.span(), poison);
    table_gradient = table_before;
    misaligned<Value> workspace(
        hstu_backward_workspace(shape.head_dim, shape.value_dim, shape.longest()), poison);
    op(basic_hstu_backward_args<Value>{.forward = forward_args(),
                                       .d_o = d_o.span().data(),
                                       .d_o_stride = value_width,
                                       .dq = gradients.span().data(),
                                       .dq_stride = stride,
                                       .dk = gradients.span().data() + width,
                                       .dk_stride = stride,
                                       .dv = gradients.span().data() + 2 * width,
                                       .dv_stride = stride,
                                       .bias_table_gradient = table_gradient.span(),
                                       .workspace = workspace.span()});
  }

  hstu_shape shape;
  std::size_t width;
  std::size_t value_width;
  std::size_t stride;
  std::vector<std::uint32_t> offsets;
  misaligned<Value> qkv{0};
  misaligned<Value> gradients{0};
  misaligned<Value> o{0};
  misaligned<Value> d_o{0};
  misaligned<Value> table{0};
  misaligned<Value> table_before{0};
  misaligned<Value> table_gradient{0};
};

/// Shapes around the tiles' edges, each with a mask and a bias of its own.
template <class Check>
void for_each_hstu_shape(const Check& check) {
  const std::vector<hstu_shape> shapes = {
      {.lengths = {}},
      {.lengths = {0, 1, 0}, .head_dim = 1, .value_dim = 1},
      {.lengths = {3, 2}, .head_dim = 0, .value_dim = 3, .table = 2},
      {.lengths = {3, 2}, .head_dim = 3, .value_dim = 0},
      {.lengths = {1, 2, 3}, .head_dim = 7, .value_dim = 5, .table = 1},
      {.lengths = {5, 0, 16, 17}, .heads = 3, .head_dim = 16, .value_dim = 4, .normaliser = 20.0},
      {.lengths = {63, 64, 65}, .head_dim = 9, .value_dim = 17, .table = 30},
      {.lengths = {130}, .head_dim = 33, .mask = {.window = 5}, .table = 4},
      {.lengths = {129, 31}, .head_dim = 32, .value_dim = 64, .mask = {}},
      {.lengths = {129}, .head_dim = 5, .mask = {.causal = true, .window = 1, .globals = 3}},
      {.lengths = {200}, .mask = {.causal = true, .window = 17, .globals = 70}, .table = 33},
      {.lengths = {160, 3}, .head_dim = 6, .mask = {.window = 20, .globals = 9}, .table = 9},
      {.lengths = {80}, .head_dim = 4, .mask = {.causal = true, .window = 0, .globals = 2}},
      {.lengths = {70}, .head_dim = 4, .mask = {.window = 0}},
      {.lengths = {70, 140}, .head_dim = 24, .value_dim = 15, .table = 200},
      {.lengths = {50}, .head_dim = 4, .table = 9, .scale = 40.0}};
  for (const hstu_shape& shape : shapes) {
    SCOPED_TRACE(describe(shape));
    check(shape);
  }
}

}  // namespace headrace::kernels
