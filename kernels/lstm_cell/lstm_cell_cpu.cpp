#include "base/check.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/lstm_cell/lstm_cell.hpp"

#include <algorithm>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/lstm_cell/lstm_cell_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// 1 / (1 + e^-z) without overflow: e^-|z| is at most 1.
template <class D, class V>
HWY_INLINE V sigmoid(D d, V z) {
  const auto one = hn::Set(d, 1.0F);
  const auto e = hn::Exp(d, hn::Neg(hn::Abs(z)));
  return hn::Div(hn::IfThenElse(hn::Ge(z, hn::Zero(d)), one, e), hn::Add(one, e));
}

/// From z without its bias, in `gates`, to the gates, the cell and the output of one row.
HWY_INLINE void finish_row(const lstm_cell_forward_args& args, std::size_t row) {
  const std::size_t hidden = args.sizes.hidden;
  float* gates = args.gates.data() + row * 4 * hidden;
  const float* bias = args.bias.data();
  for_columns(0, hidden, [&args, row, hidden, gates, bias](auto d, std::size_t j) HWY_ATTR {
    const auto z = [d, hidden, gates, bias, j](std::size_t gate) HWY_ATTR {
      const std::size_t column = gate * hidden + j;
      return hn::Add(hn::LoadU(d, gates + column), hn::LoadU(d, bias + column));
    };
    const auto i = sigmoid(d, z(0));
    const auto f = sigmoid(d, z(1));
    const auto g = hn::Tanh(d, z(2));
    const auto o = sigmoid(d, z(3));
    const std::size_t n = row * hidden + j;
    const auto c = hn::MulAdd(f, hn::LoadU(d, args.c.data() + n), hn::Mul(i, g));
    const auto t = hn::Tanh(d, c);
    hn::StoreU(i, d, gates + j);
    hn::StoreU(f, d, gates + hidden + j);
    hn::StoreU(g, d, gates + 2 * hidden + j);
    hn::StoreU(o, d, gates + 3 * hidden + j);
    hn::StoreU(c, d, args.next_c.data() + n);
    hn::StoreU(t, d, args.cell_tanhs.data() + n);
    hn::StoreU(hn::Mul(o, t), d, args.next_h.data() + n);
  });
}

void lstm_finish_target(const lstm_cell_forward_args& args) {
  for (std::size_t row = 0; row < args.sizes.rows; ++row) finish_row(args, row);
}

/// factor * s * (1 - s): back through a sigmoid that gave s.
template <class D, class V>
HWY_INLINE V sigmoid_gradient(D d, V factor, V s) {
  return hn::Mul(factor, hn::Mul(s, hn::Sub(hn::Set(d, 1.0F), s)));
}
/// factor * (1 - t²): back through a tanh that gave t.
template <class D, class V>
HWY_INLINE V tanh_gradient(D d, V factor, V t) {
  return hn::Mul(factor, hn::NegMulAdd(t, t, hn::Set(d, 1.0F)));
}

/// dz [4 hidden] and c_gradients of one row; adds dz to the bias's gradients.
HWY_INLINE void begin_row(const lstm_cell_backward_args& args, std::size_t row, float* dz) {
  const std::size_t hidden = args.sizes.hidden;
  const float* gates = args.gates.data() + row * 4 * hidden;
  float* bias = args.bias_gradients.data();
  for_columns(0, hidden, [&args, row, hidden, gates, bias, dz](auto d, std::size_t j) HWY_ATTR {
    const auto i = hn::LoadU(d, gates + j);
    const auto f = hn::LoadU(d, gates + hidden + j);
    const auto g = hn::LoadU(d, gates + 2 * hidden + j);
    const auto o = hn::LoadU(d, gates + 3 * hidden + j);
    const std::size_t n = row * hidden + j;
    const auto t = hn::LoadU(d, args.cell_tanhs.data() + n);
    const auto dh = hn::LoadU(d, args.next_h_gradients.data() + n);
    const auto dc = hn::Add(hn::LoadU(d, args.next_c_gradients.data() + n),
                            tanh_gradient(d, hn::Mul(dh, o), t));
    hn::StoreU(hn::Mul(dc, f), d, args.c_gradients.data() + n);
    const auto put = [d, hidden, bias, dz, j](std::size_t gate, auto gradient) HWY_ATTR {
      const std::size_t column = gate * hidden + j;
      hn::StoreU(gradient, d, dz + column);
      hn::StoreU(hn::Add(hn::LoadU(d, bias + column), gradient), d, bias + column);
    };
    put(0, sigmoid_gradient(d, hn::Mul(dc, g), i));
    put(1, sigmoid_gradient(d, hn::Mul(dc, hn::LoadU(d, args.c.data() + n)), f));
    put(2, tanh_gradient(d, hn::Mul(dc, i), g));
    put(3, sigmoid_gradient(d, hn::Mul(dh, t), o));
  });
}

void lstm_begin_target(const lstm_cell_backward_args& args, float* dz) {
  for (std::size_t row = 0; row < args.sizes.rows; ++row) {
    begin_row(args, row, dz + row * 4 * args.sizes.hidden);
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(lstm_finish_target);
HWY_EXPORT(lstm_begin_target);

namespace {

/// Z (+)= V M, with V [rows, depth] and Z [rows, columns].
void multiply(std::span<const float> v,
              std::size_t depth,
              std::span<const float> m,
              std::size_t rows,
              std::size_t columns,
              std::span<float> z,
              bool accumulate,
              std::span<float> workspace) {
  gemm({.a = v.data(),
        .a_stride = depth,
        .b = m.data(),
        .b_stride = columns,
        .c = z.data(),
        .c_stride = columns,
        .m = rows,
        .n = columns,
        .k = depth,
        .accumulate = accumulate,
        .workspace = workspace});
}

/// dV = dZ Mᵀ.
void multiply_back(const float* dz,
                   std::size_t columns,
                   std::span<const float> m,
                   std::size_t rows,
                   std::size_t depth,
                   std::span<float> dv,
                   std::span<float> workspace) {
  gemm({.a = dz,
        .a_stride = columns,
        .b = m.data(),
        .b_stride = columns,
        .b_transposed = true,
        .c = dv.data(),
        .c_stride = depth,
        .m = rows,
        .n = depth,
        .k = columns,
        .workspace = workspace});
}

/// dM += Vᵀ dZ.
void add_weight_gradients(std::span<const float> v,
                          std::size_t depth,
                          const float* dz,
                          std::size_t rows,
                          std::size_t columns,
                          std::span<float> dm,
                          std::span<float> workspace) {
  gemm({.a = v.data(),
        .a_stride = depth,
        .a_transposed = true,
        .b = dz,
        .b_stride = columns,
        .c = dm.data(),
        .c_stride = columns,
        .m = depth,
        .n = columns,
        .k = rows,
        .accumulate = true,
        .workspace = workspace});
}

/// What forward and backward take alike.
template <class Args>
void check_inputs(const Args& args) {
  const auto& [rows, inputs, hidden] = args.sizes;
  CHECK(args.x.size() == rows * inputs);
  CHECK(args.h.size() == rows * hidden);
  CHECK(args.c.size() == rows * hidden);
  CHECK(args.input_weights.size() == inputs * 4 * hidden);
  CHECK(args.hidden_weights.size() == hidden * 4 * hidden);
  CHECK(args.gates.size() == rows * 4 * hidden);
  CHECK(args.cell_tanhs.size() == rows * hidden);
  CHECK(args.workspace.size() >= lstm_cell_workspace(args.sizes));
}

}  // namespace

std::size_t lstm_cell_workspace(const lstm_cell_sizes& sizes) {
  const auto& [rows, inputs, hidden] = sizes;
  const std::size_t columns = 4 * hidden;
  std::size_t products = 0;
  for (const std::size_t depth : {inputs, hidden}) {
    products = std::max({products,
                         gemm_workspace(rows, columns, depth),
                         gemm_workspace(rows, depth, columns),
                         gemm_workspace(depth, columns, rows)});
  }
  return rows * columns + products;
}

void lstm_cell_forward_cpu(const lstm_cell_forward_args& args) {
  const auto& [rows, inputs, hidden] = args.sizes;
  const std::size_t columns = 4 * hidden;
  check_inputs(args);
  CHECK(args.bias.size() == columns);
  CHECK(args.next_h.size() == rows * hidden);
  CHECK(args.next_c.size() == rows * hidden);
  const std::span<float> gates = args.gates;
  multiply(args.x, inputs, args.input_weights, rows, columns, gates, false, args.workspace);
  multiply(args.h, hidden, args.hidden_weights, rows, columns, gates, true, args.workspace);
  HWY_DYNAMIC_DISPATCH(lstm_finish_target)(args);
}

void lstm_cell_backward_cpu(const lstm_cell_backward_args& args) {
  const auto& [rows, inputs, hidden] = args.sizes;
  const std::size_t columns = 4 * hidden;
  check_inputs(args);
  CHECK(args.next_h_gradients.size() == rows * hidden);
  CHECK(args.next_c_gradients.size() == rows * hidden);
  CHECK(args.x_gradients.empty() || args.x_gradients.size() == rows * inputs);
  CHECK(args.h_gradients.size() == rows * hidden);
  CHECK(args.c_gradients.size() == rows * hidden);
  CHECK(args.input_weight_gradients.size() == inputs * columns);
  CHECK(args.hidden_weight_gradients.size() == hidden * columns);
  CHECK(args.bias_gradients.size() == columns);
  float* dz = args.workspace.data();
  const std::span<float> rest = args.workspace.subspan(rows * columns);
  HWY_DYNAMIC_DISPATCH(lstm_begin_target)(args, dz);
  if (!args.x_gradients.empty()) {
    multiply_back(dz, columns, args.input_weights, rows, inputs, args.x_gradients, rest);
  }
  multiply_back(dz, columns, args.hidden_weights, rows, hidden, args.h_gradients, rest);
  add_weight_gradients(args.x, inputs, dz, rows, columns, args.input_weight_gradients, rest);
  add_weight_gradients(args.h, hidden, dz, rows, columns, args.hidden_weight_gradients, rest);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
