#pragma once

#include "kernels/runtime/column_sums_kernel.hpp"
#include "kernels/runtime/row_team.hpp"

#include <cstddef>
#include <cstdint>

/// What a cross layer does beside its products (cross.hpp has the maths), elementwise on a device:
/// the products x W, du Wᵀ and xᵀ du are dense and run elsewhere.
namespace headrace::kernels::device {

/// Columns of a block, four a thread; its rows come one after another.
constexpr unsigned cross_threads = 128;
constexpr unsigned cross_columns = cross_threads * 4;

struct cross_forward_view {
  const float* x0;    // [rows, dim]
  const float* x;     // [rows, dim]
  const float* bias;  // [dim]
  float* affine;      // [rows, dim]: x W on the way in, x W + b on the way out
  float* out;         // [rows, dim]
  std::uint32_t rows;
  std::uint32_t dim;
  std::uint32_t block_rows;
  bool aligned;  // all rows start at multiples of 16 bytes, dim is a multiple of 4
};

/// out = x0 ⊙ u + x, u = x W + b. Grid: (⌈dim / 512⌉, ⌈rows / block_rows⌉).
HEADRACE_KERNEL void cross_forward_kernel(cross_forward_view view) {
  const unsigned c = (block_index().x * cross_threads + thread_index()) * 4;
  const four_floats bias = load_four(view.bias, c, view.dim, view.aligned);
  const std::uint32_t first = block_index().y * view.block_rows;
  for (std::uint32_t r = first; r < first + view.block_rows && r < view.rows; ++r) {
    const std::size_t at = std::size_t{r} * view.dim;
    four_floats u = load_four(view.affine + at, c, view.dim, view.aligned);
    const four_floats x0 = load_four(view.x0 + at, c, view.dim, view.aligned);
    four_floats out = load_four(view.x + at, c, view.dim, view.aligned);
    HEADRACE_UNROLL
    for (unsigned j = 0; j < 4; ++j) {
      u.v[j] += bias.v[j];
      out.v[j] += x0.v[j] * u.v[j];
    }
    store_four(view.affine + at, c, view.dim, view.aligned, u);
    store_four(view.out + at, c, view.dim, view.aligned, out);
  }
}

struct cross_backward_view {
  const float* x0;             // [rows, dim]
  const float* affine;         // [rows, dim]
  const float* out_gradients;  // [rows, dim]
  float* affine_gradients;     // [rows, dim]: du, for the products
  float* x0_gradients;         // [rows, dim], added to
  float* bias_partials;        // [⌈rows / block_rows⌉, dim]
  std::uint32_t rows;
  std::uint32_t dim;
  std::uint32_t block_rows;
  bool aligned;
};

/// du = g ⊙ x0, dx0 += g ⊙ u, and this block's share of Σ du. Grid as forward.
HEADRACE_KERNEL void cross_backward_kernel(cross_backward_view view) {
  const unsigned c = (block_index().x * cross_threads + thread_index()) * 4;
  const std::uint32_t first = block_index().y * view.block_rows;
  four_floats sums = {{0.0F, 0.0F, 0.0F, 0.0F}};
  for (std::uint32_t r = first; r < first + view.block_rows && r < view.rows; ++r) {
    const std::size_t at = std::size_t{r} * view.dim;
    const four_floats g = load_four(view.out_gradients + at, c, view.dim, view.aligned);
    const four_floats x0 = load_four(view.x0 + at, c, view.dim, view.aligned);
    const four_floats u = load_four(view.affine + at, c, view.dim, view.aligned);
    four_floats dx0 = load_four(view.x0_gradients + at, c, view.dim, view.aligned);
    four_floats du;
    HEADRACE_UNROLL
    for (unsigned j = 0; j < 4; ++j) {
      du.v[j] = g.v[j] * x0.v[j];
      dx0.v[j] += g.v[j] * u.v[j];
      sums.v[j] += du.v[j];
    }
    store_four(view.affine_gradients + at, c, view.dim, view.aligned, du);
    store_four(view.x0_gradients + at, c, view.dim, view.aligned, dx0);
  }
  float* partials = view.bias_partials + std::size_t{block_index().y} * view.dim;
  store_four(partials, c, view.dim, view.aligned, sums);
}

}  // namespace headrace::kernels::device
