#pragma once

#include "kernels/linear/linear_kernel.hpp"
#include "kernels/runtime/column_sums_launch.hpp"
#include "kernels/runtime/elementwise_shape.hpp"

/// Launch shapes of a dense layer's kernels. `launch(shape, kernel, args…)` queues one.
namespace headrace::kernels {

/// A tile of 64 x 64 a block of 256: 16 sums a thread keep the multipliers busy on two loads from
/// shared memory each.
template <class Launch>
void launch_product(const device::product_view& view, const Launch& launch) {
  if (view.m == 0 || view.n == 0) return;
  launch(launch_shape{.grid = {(view.m + device::tile_rows - 1) / device::tile_rows,
                               (view.n + device::tile_columns - 1) / device::tile_columns},
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
                  .activation = layer.activation,
                  .add = false},
                 launch);
}

struct device_linear_gradients {
  const float* kept;  // [rows, out] y or z, whichever φ keeps; null where φ is the identity
  const float* dy;    // [rows, out]
  float* dz;          // [rows, out] workspace; not used where φ is the identity
  float* dx;          // [rows, in] out, or null
  float* dweights;    // [in, out] added to
  float* dbias;       // [out] added to, or null
};

/// dz, then dx = dz Wᵀ, dW += xᵀ dz, db += Σ dz.
template <class Launch>
void launch_linear_backward(const device_linear& layer,
                            const device_linear_gradients& gradients,
                            const Launch& launch) {
  const std::size_t outputs = std::size_t{layer.rows} * layer.out;
  if (outputs == 0) return;
  const float* dz = gradients.dy;
  if (layer.activation != linear_activation::none) {
    launch(
        elementwise_shape(outputs),
        device::slope_kernel,
        device::slope_view{gradients.kept, gradients.dy, gradients.dz, outputs, layer.activation});
    dz = gradients.dz;
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
  dw.add = true;
  launch_product(dw, launch);
  if (gradients.dbias != nullptr)
    launch_column_sums({.partials = dz,
                        .stride = layer.out,
                        .count = layer.rows,
                        .columns = layer.out,
                        .out = gradients.dbias},
                       launch);
}

}  // namespace headrace::kernels
