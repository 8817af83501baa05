#pragma once

#include "kernels/grouped_ffn/grouped_ffn_kernel.hpp"

/// Gradients of the experts' nets on a device (grouped_ffn.hpp has the maths).
namespace headrace::kernels::device {

struct grouped_backward_view {
  grouped_view forward;              // first and third as forward left them; h is written for
                                     // swiglu, relu's is first
  const std::uint16_t* y_gradients;  // [R, dim]
  std::uint16_t* du;                 // [R, hidden], of x W1
  std::uint16_t* dv;                 // [R, hidden], of x W3; null for relu
  float* x_gradients;                // [R, dim]
  float* w1_gradients;               // [experts, dim, hidden], added to
  float* w3_gradients;               // [experts, dim, hidden], added to; null for relu
  float* w2_gradients;               // [experts, hidden, dim], added to
};

/// du and dv of a pair from dh, and h once more.
template <ffn_form Form>
HEADRACE_DEVICE void store_hidden_gradients(const grouped_backward_view& view,
                                            std::size_t at,
                                            const float (&dh)[2]) {
  float du[2];
  float dv[2];
  float h[2];
  HEADRACE_UNROLL
  for (unsigned i = 0; i < 2; ++i) {
    const float u = load_brain(view.forward.first, at + i);
    if constexpr (Form == ffn_form::relu) {
      du[i] = u > 0.0F ? dh[i] : 0.0F;
    } else {
      const float v = load_brain(view.forward.third, at + i);
      const float s = sigmoid_near(u);
      du[i] = dh[i] * v * s * (1.0F + u * (1.0F - s));
      dv[i] = dh[i] * u * s;
      h[i] = u * s * v;
    }
  }
  store_pair(view.du, at, du[0], du[1]);
  if constexpr (Form == ffn_form::swiglu) {
    store_pair(view.dv, at, dv[0], dv[1]);
    store_pair(view.forward.h, at, h[0], h[1]);
  }
}

/// du and dv from dh = dy W2ᵀ, and h once more.
template <ffn_form Form>
struct hidden_gradient {
  const grouped_backward_view& view;

  struct store {
    const grouped_backward_view& view;
    std::size_t begin;
    HEADRACE_DEVICE void operator()(std::uint32_t row,
                                    std::uint32_t column,
                                    const float (&dh)[2],
                                    const float (&)[2]) const {
      store_hidden_gradients<Form>(view, (begin + row) * view.forward.hidden + column, dh);
    }
  };
  template <unsigned Rows>
  HEADRACE_DEVICE void run(const grouped_tile& tile) const {
    const grouped_view& all = view.forward;
    const brain_matrix left = rows_of(all, view.y_gradients, tile.expert, all.dim);
    const brain_matrix right = weights_of(all.w2, tile.expert, all.hidden, all.dim);
    const tile_operands of = {
        left, right, right, tile.row, tile.column_tile * grouped_columns, all.dim};
    tile_sums<Rows> sums = {};
    add_tile_product<Rows, product_form<false, false, false>>(of, sums);
    const store each = {view, all.offsets[tile.expert]};
    for_each_pair<Rows, false>(of, left.rows, all.hidden, sums, each);
  }
};

/// dx = du W1ᵀ + dv W3ᵀ, both in the same sums.
template <ffn_form Form>
struct input_gradient {
  const grouped_backward_view& view;

  template <unsigned Rows>
  HEADRACE_DEVICE void run(const grouped_tile& tile) const {
    const grouped_view& all = view.forward;
    const brain_matrix left = rows_of(all, view.du, tile.expert, all.hidden);
    const brain_matrix right = weights_of(all.w1, tile.expert, all.dim, all.hidden);
    tile_operands of = {
        left, right, right, tile.row, tile.column_tile * grouped_columns, all.hidden};
    tile_sums<Rows> sums = {};
    add_tile_product<Rows, product_form<false, false, false>>(of, sums);
    if constexpr (Form == ffn_form::swiglu) {
      of.left = rows_of(all, view.dv, tile.expert, all.hidden);
      of.right = weights_of(all.w3, tile.expert, all.dim, all.hidden);
      add_tile_product<Rows, product_form<false, false, false>>(of, sums);
    }
    const store_floats each = {view.x_gradients, all.offsets[tile.expert], all.dim};
    for_each_pair<Rows, false>(of, left.rows, all.dim, sums, each);
  }
};

template <ffn_form Form>
HEADRACE_KERNEL_OF(256, 2)
void grouped_hidden_gradient_kernel(grouped_backward_view view) {
  const std::uint32_t tiles = (view.forward.hidden + grouped_columns - 1) / grouped_columns;
  run_tiles(view.forward, tiles, hidden_gradient<Form>{view});
}
template <ffn_form Form>
HEADRACE_KERNEL_OF(256, 2)
void grouped_input_gradient_kernel(grouped_backward_view view) {
  const std::uint32_t tiles = (view.forward.dim + grouped_columns - 1) / grouped_columns;
  run_tiles(view.forward, tiles, input_gradient<Form>{view});
}

/// Adds left_eᵀ right_e, a product over an expert's rows, to gradients [experts, m, n].
struct weight_gradient_view {
  const std::uint32_t* offsets;
  std::uint32_t experts;
  const std::uint16_t* left;   // [R, m]
  const std::uint16_t* right;  // [R, n]
  float* gradients;            // [experts, m, n]
  std::uint32_t m;
  std::uint32_t n;
};

struct add_floats {
  float* to;
  std::uint32_t columns;
  HEADRACE_DEVICE void operator()(std::uint32_t row,
                                  std::uint32_t column,
                                  const float (&u)[2],
                                  const float (&)[2]) const {
    float* at = to + std::size_t{row} * columns + column;
    at[0] += u[0];
    at[1] += u[1];
  }
};

/// Tile t is one of 128 x 128 of the gradients of expert t / tiles_each; those of experts without
/// rows are passed over, untouched.
HEADRACE_KERNEL_OF(256, 2) void grouped_weight_gradient_kernel(weight_gradient_view view) {
  const std::uint32_t down = (view.m + 127) / 128;
  const std::uint32_t each = down * ((view.n + 127) / 128);
  for (std::uint32_t t = block_index().x; t < view.experts * each; t += grid_blocks().x) {
    const std::uint32_t e = t / each;
    const std::uint32_t begin = view.offsets[e];
    const std::uint32_t rows = view.offsets[e + 1] - begin;
    if (rows == 0) continue;
    const std::uint32_t own = t % each;
    const brain_matrix left = {view.left + std::size_t{begin} * view.m, view.m, rows, view.m};
    const brain_matrix right = {view.right + std::size_t{begin} * view.n, view.n, rows, view.n};
    const tile_operands of = {left, right, right, own % down * 128, own / down * 128, rows};
    tile_sums<128> sums = {};
    add_tile_product<128, product_form<true, true, false>>(of, sums);
    const add_floats add = {view.gradients + std::size_t{e} * view.m * view.n, view.n};
    for_each_pair<128, false>(of, view.m, view.n, sums, add);
  }
}

}  // namespace headrace::kernels::device
