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

/// Rows of a slice of dW = xᵀ dz. A layer's weights are few tiles and its rows are many, so slices
/// of rows have blocks of their own, 256 rows or more each, as many as give 512 blocks. A function
/// of the sizes alone: sums have one order everywhere.
constexpr std::uint32_t weight_slice_rows(std::uint32_t rows, std::uint32_t in, std::uint32_t out) {
  constexpr std::uint32_t least = device::column_slice_rows;
  const std::uint64_t tiles =
      std::uint64_t{tiles_across(in, device::tile_rows)} * tiles_across(out, device::tile_columns);
  const auto most = static_cast<std::uint32_t>(tiles == 0 || tiles > 512 ? 1 : 512 / tiles);
  return tiles_across(tiles_across(rows, most), least) * least;
}

/// The workspace of linear_backward; null while it is measured.
struct linear_backward_parts {
  linear_backward_parts(std::byte* workspace,
                        std::uint32_t rows,
                        std::uint32_t in,
                        std::uint32_t out,
                        linear_activation activation)
      : slice_rows(weight_slice_rows(rows, in, out)),
        slices(rows == 0 ? 1 : tiles_across(rows, slice_rows)) {
    workspace_parts parts(workspace);
    if (activation != linear_activation::none) dz = parts.take<float>(std::size_t{rows} * out);
    if (slices > 1) dweights = parts.take<float>(std::size_t{slices} * in * out);
    dbias = parts.take<float>(device::column_partials(rows, out));
    bytes = parts.bytes();
  }
  std::uint32_t slice_rows;
  std::uint32_t slices;
  float* dz = nullptr;        // [rows, out], unless φ is the identity
  float* dweights = nullptr;  // [slices, in, out], where there are several
  float* dbias;               // [slices of 256 rows, out], where there are several
  std::size_t bytes;
};

/// dW += xᵀ dz, slices side by side, then one after another.
template <class Launch>
void launch_weight_gradients(const device_linear& layer,
                             const float* dz,
                             float* dweights,
                             const linear_backward_parts& parts,
                             const Launch& launch) {
  const bool sliced = parts.slices > 1;
  device::product_view dw{};
  dw.a = layer.x;
  dw.a_row = 1;
  dw.a_depth = layer.in;
  dw.b = dz;
  dw.b_depth = layer.out;
  dw.b_column = 1;
  dw.c = sliced ? parts.dweights : dweights;
  dw.m = layer.in;
  dw.n = layer.out;
  dw.k = layer.rows;
  dw.depth = parts.slice_rows;
  dw.add = !sliced;
  launch_product(dw, launch);
  if (!sliced) return;
  const std::uint32_t size = layer.in * layer.out;  // a few hundred tiles at most
  launch_column_sums({.partials = parts.dweights,
                      .stride = size,
                      .count = parts.slices,
                      .columns = size,
                      .out = dweights},
                     launch);
}

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
  launch_weight_gradients(layer, dz, gradients.dweights, parts, launch);
  if (gradients.dbias != nullptr)
    launch_row_sums({.rows = dz,
                     .partials = parts.dbias,
                     .out = gradients.dbias,
                     .count = layer.rows,
                     .columns = layer.out},
                    launch);
}

}  // namespace headrace::kernels
