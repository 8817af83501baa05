#pragma once

#include "kernels/grouped_ffn/grouped_ffn_90a_kernel.hpp"
#include "kernels/grouped_gemm/grouped_gemm_90a.hpp"
#include "kernels/runtime/elementwise_shape.hpp"

/// Experts' nets made of grouped_gemm's products. `products` has product(grouped_product_args) and
/// sums(grouped_sums_args); `launch(shape, kernel, args…)` queues what lies between.
namespace headrace::kernels {

/// Whether grouped_gemm's tiles of 128 rows are mostly full enough to be worth it, and rows long
/// enough for its copies; `rows`: of all experts, at most.
constexpr bool suits_90a(std::uint64_t rows, const device::grouped_view& view) {
  return view.dim >= 8 && view.hidden >= 8 && rows >= std::uint64_t{64} * view.experts;
}

/// [rows, depth] times each expert's weights: to `out`.
inline grouped_product_args ffn_product(const device::grouped_view& view,
                                        std::uint32_t rows,
                                        const std::uint16_t* left,
                                        std::uint32_t depth,
                                        const std::uint16_t* weights,
                                        std::uint32_t columns) {
  grouped_product_args args;
  args.left = left;
  args.weights = weights;
  args.offsets = view.offsets;
  args.groups = view.experts;
  args.rows = rows;
  args.depth = depth;
  args.columns = columns;
  return args;
}

template <class Products, class Launch>
void launch_grouped_ffn_90a(const device::grouped_view& view,
                            ffn_form form,
                            std::uint32_t rows,
                            const Products& products,
                            const Launch& launch) {
  if (rows == 0) return;
  const launch_shape pairs = elementwise_shape(std::size_t{rows} * view.hidden / 2);
  const auto up = [&](const std::uint16_t* weights, std::uint16_t* out) {
    grouped_product_args args = ffn_product(view, rows, view.x, view.dim, weights, view.hidden);
    args.out = out;
    products.product(args);
  };
  up(view.w1, view.first);
  if (form == ffn_form::swiglu) {
    up(view.w3, view.third);
    launch(pairs, device::hidden_kernel<ffn_form::swiglu>, view);
  } else {
    launch(pairs, device::hidden_kernel<ffn_form::relu>, view);
  }
  grouped_product_args down = ffn_product(view, rows, view.h, view.hidden, view.w2, view.dim);
  down.sums = view.y;
  products.product(down);
}

template <class Products, class Launch>
void launch_grouped_ffn_backward_90a(const device::grouped_backward_view& view,
                                     ffn_form form,
                                     std::uint32_t rows,
                                     const Products& products,
                                     const Launch& launch) {
  if (rows == 0) return;
  const device::grouped_view& all = view.forward;
  const bool gated = form == ffn_form::swiglu;
  const launch_shape pairs = elementwise_shape(std::size_t{rows} * all.hidden / 2);
  grouped_product_args dh = ffn_product(all, rows, view.y_gradients, all.dim, all.w2, all.hidden);
  dh.order = weight_order::columns_by_depth;
  dh.out = view.du;
  products.product(dh);
  launch(pairs,
         gated ? device::hidden_gradients_kernel<ffn_form::swiglu>
               : device::hidden_gradients_kernel<ffn_form::relu>,
         view);
  const auto down = [&](const std::uint16_t* left, const std::uint16_t* weights, bool adds) {
    grouped_product_args dx = ffn_product(all, rows, left, all.hidden, weights, all.dim);
    dx.order = weight_order::columns_by_depth;
    dx.sums = view.x_gradients;
    dx.adds = adds;
    products.product(dx);
  };
  down(view.du, all.w1, false);
  if (gated) down(view.dv, all.w3, true);
  const auto sum = [&](const std::uint16_t* left,
                       std::uint32_t m,
                       const std::uint16_t* right,
                       std::uint32_t n,
                       float* gradients) {
    products.sums(grouped_sums_args{left, right, gradients, all.offsets, all.experts, rows, m, n});
  };
  sum(all.x, all.dim, view.du, all.hidden, view.w1_gradients);
  if (gated) sum(all.x, all.dim, view.dv, all.hidden, view.w3_gradients);
  sum(all.h, all.hidden, view.y_gradients, all.dim, view.w2_gradients);
}

}  // namespace headrace::kernels
