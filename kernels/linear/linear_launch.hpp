#pragma once

#include "kernels/linear/linear_kernel.hpp"
#include "kernels/runtime/column_sums_launch.hpp"
#include "kernels/runtime/elementwise_shape.hpp"
#include "kernels/runtime/workspace_parts.hpp"

/// Launch shapes of a dense layer's kernels. `launch(shape, kernel, args…)` queues one.
namespace headrace::kernels {

constexpr std::uint32_t tiles_across(std::uint32_t size, std::uint32_t tile) {
  return size / tile + (size % tile != 0 ? 1U : 0U);
}

/// A tile of 64 x 64 a block of 256: 16 sums a thread keep the multipliers busy on two loads from
/// shared memory each.
template <class Launch>
void launch_product(const device::product_view& view, const Launch& launch) {
  if (view.m == 0 || view.n == 0) return;
  launch(launch_shape{.grid = {tiles_across(view.m, device::tile_rows),
                               tiles_across(view.n, device::tile_columns),
                               view.k == 0 ? 1U : tiles_across(view.k, view.depth)},
                      .threads = device::tile_threads,
                      .shared_bytes = device::tile_bytes},
         device::product_kernel,
         view);
}

struct device_linear {
  const float* x;        // [rows, in]
  const float* weights;  // [in, out]
  std::uint32_t rows;
  std::uint32_t in;
  std::uint32_t out;
  linear_activation activation;
};

/// y and, unless null, saved = φ and its argument.
template <class Launch>
void launch_linear(
    const device_linear& layer, const float* bias, float* y, float* saved, const Launch& launch) {
  launch_product({.a = layer.x,
                  .a_row = layer.in,
                  .a_depth = 1,
                  .b = layer.weights,
                  .b_depth = layer.out,
                  .b_column = 1,
                  .c = y,
                  .bias = bias,
                  .saved = saved,
                  .m = layer.rows,
                  .n = layer.out,
                  .k = layer.in,
                  .depth = layer.in,
                  .activation = layer.activation,
                  .add = false},
                 launch);
}

struct device_linear_gradients {
  const float* kept;  // [rows, out] y or z, whichever φ keeps; null where φ is the identity
  const float* dy;    // [rows, out]
  float* dx;          // [rows, in] out, or null
  float* dweights;    // [in, out] added to
  float* dbias;       // [out] added to, or null
};

/// Depth of a slice of a sum of products of `k` of them, [m, n]: where a result is few tiles and
/// its depth is large, slices have blocks of their own, 256 deep or more each, as many as give 512
/// blocks. A function of the sizes alone: sums have one order everywhere.
constexpr std::uint32_t slice_depth(std::uint32_t k, std::uint32_t m, std::uint32_t n) {
  constexpr std::uint32_t least = device::column_slice_rows;
  const std::uint64_t tiles =
      std::uint64_t{tiles_across(m, device::tile_rows)} * tiles_across(n, device::tile_columns);
  const auto most = static_cast<std::uint32_t>(tiles == 0 || tiles > 512 ? 1 : 512 / tiles);
  return tiles_across(tiles_across(k, most), least) * least;
}
constexpr std::uint32_t slices_of(std::uint32_t k, std::uint32_t m, std::uint32_t n) {
  return k == 0 ? 1 : tiles_across(k, slice_depth(k, m, n));
}
/// Floats of partials of launch_sum_of_products.
constexpr std::size_t slice_partials(std::uint32_t k, std::uint32_t m, std::uint32_t n) {
  const std::uint32_t slices = slices_of(k, m, n);
  return slices == 1 ? 0 : std::size_t{slices} * m * n;
}

/// C += A B, slices side by side, then one after another. Of `view`, a, b, c, their strides and
/// sizes are set.
template <class Launch>
void launch_sum_of_products(device::product_view view, float* partials, const Launch& launch) {
  if (view.m == 0 || view.n == 0 || view.k == 0) return;
  const std::uint32_t slices = slices_of(view.k, view.m, view.n);
  float* out = view.c;
  view.depth = slice_depth(view.k, view.m, view.n);
  view.add = slices == 1;
  if (slices > 1) view.c = partials;
  launch_product(view, launch);
  if (slices == 1) return;
  const std::uint32_t size = view.m * view.n;  // a few hundred tiles at most
  launch_column_sums(
      {.partials = partials, .stride = size, .count = slices, .columns = size, .out = out}, launch);
}

/// The workspace of linear_backward; null while it is measured.
struct linear_backward_parts {
  linear_backward_parts(std::byte* workspace,
                        std::uint32_t rows,
                        std::uint32_t in,
                        std::uint32_t out,
                        linear_activation activation) {
    workspace_parts parts(workspace);
    if (activation != linear_activation::none) dz = parts.take<float>(std::size_t{rows} * out);
    dweights = parts.take<float>(slice_partials(rows, in, out));
    dbias = parts.take<float>(device::column_partials(rows, out));
    bytes = parts.bytes();
  }
  float* dz = nullptr;  // [rows, out], unless φ is the identity
  float* dweights;      // [slices, in, out], where there are several
  float* dbias;         // [slices of 256 rows, out], where there are several
  std::size_t bytes;
};

/// dz, then dx = dz Wᵀ, dW += xᵀ dz, db += Σ dz.
template <class Launch>
void launch_linear_backward(const device_linear& layer,
                            const device_linear_gradients& gradients,
                            const linear_backward_parts& parts,
                            const Launch& launch) {
  const std::size_t outputs = std::size_t{layer.rows} * layer.out;
  if (outputs == 0) return;
  const float* dz = gradients.dy;
  if (layer.activation != linear_activation::none) {
    launch(elementwise_shape(outputs),
           device::slope_kernel,
           device::slope_view{gradients.kept, gradients.dy, parts.dz, outputs, layer.activation});
    dz = parts.dz;
  }
  device::product_view dx{};
  dx.a = dz;
  dx.a_row = layer.out;
  dx.a_depth = 1;
  dx.b = layer.weights;
  dx.b_depth = 1;
  dx.b_column = layer.out;
  dx.c = gradients.dx;
  dx.m = layer.rows;
  dx.n = layer.in;
  dx.k = layer.out;
  dx.depth = layer.out;
  if (gradients.dx != nullptr) launch_product(dx, launch);
  device::product_view dw{};
  dw.a = layer.x;
  dw.a_row = 1;
  dw.a_depth = layer.in;
  dw.b = dz;
  dw.b_depth = layer.out;
  dw.b_column = 1;
  dw.c = gradients.dweights;
  dw.m = layer.in;
  dw.n = layer.out;
  dw.k = layer.rows;
  launch_sum_of_products(dw, parts.dweights, launch);
  if (gradients.dbias != nullptr)
    launch_row_sums({.rows = dz,
                     .partials = parts.dbias,
                     .out = gradients.dbias,
                     .count = layer.rows,
                     .columns = layer.out},
                    launch);
}

}  // namespace headrace::kernels
