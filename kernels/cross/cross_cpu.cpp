#include "base/check.hpp"
#include "kernels/cross/cross.hpp"
#include "kernels/gemm/gemm.hpp"

#include <algorithm>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cross/cross_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// After the product: affine += bias, out = x0 ⊙ affine + x.
void finish_forward_target(const cross_args& args) {
  const std::size_t dim = args.shape.dim;
  const float* bias = args.weights.bias.data();
  for (std::size_t row = 0; row < args.shape.rows; ++row) {
    const float* x0 = args.x0.data() + row * dim;
    const float* x = args.x.data() + row * dim;
    float* affine = args.affine.data() + row * dim;
    float* out = args.out.data() + row * dim;
    for_columns(0, dim, [bias, x0, x, affine, out](auto d, std::size_t k) HWY_ATTR {
      const auto u = hn::Add(hn::LoadU(d, affine + k), hn::LoadU(d, bias + k));
      hn::StoreU(u, d, affine + k);
      hn::StoreU(hn::MulAdd(hn::LoadU(d, x0 + k), u, hn::LoadU(d, x + k)), d, out + k);
    });
  }
}

/// Before the products: du = g ⊙ x0, dx0 += g ⊙ affine, dx = g, dbias += du row by row.
void begin_backward_target(const cross_backward_args& args, float* affine_gradients) {
  const std::size_t dim = args.shape.dim;
  float* bias_gradients = args.weight_gradients.bias.data();
  for (std::size_t row = 0; row < args.shape.rows; ++row) {
    const float* g = args.out_gradients.data() + row * dim;
    const float* x0 = args.x0.data() + row * dim;
    const float* affine = args.affine.data() + row * dim;
    float* du = affine_gradients + row * dim;
    float* dx = args.x_gradients.data() + row * dim;
    float* dx0 = args.x0_gradients.data() + row * dim;
    for_columns(
        0, dim, [g, x0, affine, du, dx, dx0, bias_gradients](auto d, std::size_t k) HWY_ATTR {
          const auto gradient = hn::LoadU(d, g + k);
          const auto through = hn::Mul(gradient, hn::LoadU(d, x0 + k));
          const auto to_x0 = hn::MulAdd(gradient, hn::LoadU(d, affine + k), hn::LoadU(d, dx0 + k));
          const auto to_bias = hn::Add(hn::LoadU(d, bias_gradients + k), through);
          hn::StoreU(through, d, du + k);
          hn::StoreU(gradient, d, dx + k);
          hn::StoreU(to_x0, d, dx0 + k);
          hn::StoreU(to_bias, d, bias_gradients + k);
        });
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(finish_forward_target);
HWY_EXPORT(begin_backward_target);

namespace {

/// A dense matrix [rows, columns] as a factor.
struct factor {
  const float* values;
  std::size_t rows;
  std::size_t columns;
  bool transposed = false;

  std::size_t height() const { return transposed ? columns : rows; }
  std::size_t width() const { return transposed ? rows : columns; }
};

factor turned(const factor& a) { return {a.values, a.rows, a.columns, !a.transposed}; }

enum class into { write, add };

void multiply(const factor& a, const factor& b, float* c, into mode, std::span<float> workspace) {
  gemm({.a = a.values,
        .a_stride = a.columns,
        .a_transposed = a.transposed,
        .b = b.values,
        .b_stride = b.columns,
        .b_transposed = b.transposed,
        .c = c,
        .c_stride = b.width(),
        .m = a.height(),
        .n = b.width(),
        .k = a.width(),
        .accumulate = mode == into::add,
        .workspace = workspace});
}

template <class Value>
void check_weights(const cross_shape& shape, const cross_weights<Value>& weights) {
  CHECK(weights.full.size() == (shape.rank == 0 ? shape.dim * shape.dim : 0));
  CHECK(weights.down.size() == shape.dim * shape.rank);
  CHECK(weights.up.size() == shape.dim * shape.rank);
  CHECK(weights.bias.size() == shape.dim);
}

}  // namespace

std::size_t cross_workspace(const cross_shape& shape) {
  const auto [rows, dim, rank] = shape;
  if (rank == 0) return gemm_workspace(rows, dim, dim);
  return std::max(gemm_workspace(rows, rank, dim), gemm_workspace(rows, dim, rank));
}

std::size_t cross_backward_workspace(const cross_shape& shape) {
  const auto [rows, dim, rank] = shape;
  std::size_t products = gemm_workspace(dim, rank == 0 ? dim : rank, rows);
  products = std::max(products, cross_workspace(shape));
  return rows * (dim + rank) + products;
}

void cross_cpu(const cross_args& args) {
  const auto [rows, dim, rank] = args.shape;
  CHECK(args.x0.size() == rows * dim);
  CHECK(args.x.size() == rows * dim);
  check_weights(args.shape, args.weights);
  CHECK(args.out.size() == rows * dim);
  CHECK(args.affine.size() == rows * dim);
  CHECK(args.projected.size() == rows * rank);
  CHECK(args.workspace.size() >= cross_workspace(args.shape));
  const factor x = {args.x.data(), rows, dim};
  float* affine = args.affine.data();
  if (rank == 0) {
    const factor w = {args.weights.full.data(), dim, dim};
    multiply(x, w, affine, into::write, args.workspace);
  } else {
    const factor v = {args.weights.down.data(), dim, rank};
    const factor u = {args.weights.up.data(), dim, rank};
    const factor projected = {args.projected.data(), rows, rank};
    multiply(x, v, args.projected.data(), into::write, args.workspace);
    multiply(projected, turned(u), affine, into::write, args.workspace);
  }
  HWY_DYNAMIC_DISPATCH(finish_forward_target)(args);
}

void cross_backward_cpu(const cross_backward_args& args) {
  const auto [rows, dim, rank] = args.shape;
  CHECK(args.x0.size() == rows * dim);
  CHECK(args.x.size() == rows * dim);
  check_weights(args.shape, args.weights);
  CHECK(args.affine.size() == rows * dim);
  CHECK(args.projected.size() == rows * rank);
  CHECK(args.out_gradients.size() == rows * dim);
  CHECK(args.x_gradients.size() == rows * dim);
  CHECK(args.x0_gradients.size() == rows * dim);
  check_weights(args.shape, args.weight_gradients);
  CHECK(args.workspace.size() >= cross_backward_workspace(args.shape));
  float* affine_gradients = args.workspace.data();
  float* projected_gradients = affine_gradients + rows * dim;
  const std::span<float> workspace = args.workspace.subspan(rows * (dim + rank));
  HWY_DYNAMIC_DISPATCH(begin_backward_target)(args, affine_gradients);
  const factor x = {args.x.data(), rows, dim};
  const factor du = {affine_gradients, rows, dim};
  float* dx = args.x_gradients.data();
  if (rank == 0) {
    const factor w = {args.weights.full.data(), dim, dim};
    multiply(du, turned(w), dx, into::add, workspace);
    multiply(turned(x), du, args.weight_gradients.full.data(), into::add, workspace);
    return;
  }
  const factor v = {args.weights.down.data(), dim, rank};
  const factor u = {args.weights.up.data(), dim, rank};
  const factor dt = {projected_gradients, rows, rank};
  const factor projected = {args.projected.data(), rows, rank};
  multiply(du, u, projected_gradients, into::write, workspace);
  multiply(dt, turned(v), dx, into::add, workspace);
  multiply(turned(x), dt, args.weight_gradients.down.data(), into::add, workspace);
  multiply(turned(du), projected, args.weight_gradients.up.data(), into::add, workspace);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
