#include "base/check.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/grouped_ffn/grouped_ffn.hpp"

#include <algorithm>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/grouped_ffn/grouped_ffn_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// 1 / (1 + e^-u); never overflows.
template <class D, class V>
HWY_INLINE V sigmoid(D d, V u) {
  const auto one = hn::Set(d, 1.0F);
  const auto e = hn::Exp(d, hn::Neg(hn::Abs(u)));
  return hn::Div(hn::IfThenElse(hn::Ge(u, hn::Zero(d)), one, e), hn::Add(one, e));
}

/// A NaN stays one.
void relu_target(float* values, std::size_t n) {
  for_columns(0, n, [values](auto d, std::size_t i) HWY_ATTR {
    const auto value = hn::LoadU(d, values + i);
    hn::StoreU(hn::IfThenZeroElse(hn::Lt(value, hn::Zero(d)), value), d, values + i);
  });
}

/// gradients = 0 where h is not above 0.
void relu_backward_target(const float* h, float* gradients, std::size_t n) {
  for_columns(0, n, [h, gradients](auto d, std::size_t i) HWY_ATTR {
    const auto stops = hn::Le(hn::LoadU(d, h + i), hn::Zero(d));
    hn::StoreU(hn::IfThenZeroElse(stops, hn::LoadU(d, gradients + i)), d, gradients + i);
  });
}

void swiglu_target(const float* first, const float* third, float* h, std::size_t n) {
  for_columns(0, n, [first, third, h](auto d, std::size_t i) HWY_ATTR {
    const auto u = hn::LoadU(d, first + i);
    const auto gate = hn::Mul(u, sigmoid(d, u));
    hn::StoreU(hn::Mul(gate, hn::LoadU(d, third + i)), d, h + i);
  });
}

/// Turns dh into du; writes dv, and h anew.
void swiglu_backward_target(
    const float* first, const float* third, float* dh_du, float* dv, float* h, std::size_t n) {
  for_columns(0, n, [first, third, dh_du, dv, h](auto d, std::size_t i) HWY_ATTR {
    const auto one = hn::Set(d, 1.0F);
    const auto u = hn::LoadU(d, first + i);
    const auto v = hn::LoadU(d, third + i);
    const auto dh = hn::LoadU(d, dh_du + i);
    const auto s = sigmoid(d, u);
    const auto gate = hn::Mul(u, s);
    const auto slope = hn::Mul(s, hn::MulAdd(u, hn::Sub(one, s), one));
    hn::StoreU(hn::Mul(gate, v), d, h + i);
    hn::StoreU(hn::Mul(dh, gate), d, dv + i);
    hn::StoreU(hn::Mul(hn::Mul(dh, v), slope), d, dh_du + i);
  });
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(relu_target);
HWY_EXPORT(relu_backward_target);
HWY_EXPORT(swiglu_target);
HWY_EXPORT(swiglu_backward_target);

namespace {

/// Rows that pass through an expert at a time, so that the workspace does not grow with the batch.
/// Each pass packs the weights anew. Measured (ffn_forward, ffn_backward at 1,024 rows an expert):
/// 144 costs 5 to 10 %, and from 288 to 1,024 there is no difference.
constexpr std::size_t chunk_rows_max = 512;

/// A matrix without gaps, or its transpose.
struct matrix {
  const float* data;
  bool transposed = false;
};

/// Products of one size after the other, in one workspace.
struct multiplier {
  std::span<float> workspace;

  void operator()(matrix a,
                  matrix b,
                  float* c,
                  std::size_t m,
                  std::size_t n,
                  std::size_t k,
                  bool accumulate) const {
    gemm({.a = a.data,
          .a_stride = a.transposed ? m : k,
          .a_transposed = a.transposed,
          .b = b.data,
          .b_stride = b.transposed ? k : n,
          .b_transposed = b.transposed,
          .c = c,
          .c_stride = n,
          .m = m,
          .n = n,
          .k = k,
          .accumulate = accumulate,
          .workspace = workspace});
  }
};

/// Some rows of one expert.
struct chunk {
  std::size_t row;
  std::size_t rows;
  std::size_t weights;  // where the expert's begin
};

/// Calls work(chunk) for all rows of all experts that have any, in order.
template <class Work>
void for_each_chunk(const ffn_sizes& sizes,
                    std::span<const std::uint32_t> offsets,
                    const Work& work) {
  for (std::size_t e = 0; e < sizes.experts; ++e) {
    const std::size_t rows = offsets[e + 1] - offsets[e];
    const std::size_t parts = (rows + chunk_rows_max - 1) / chunk_rows_max;
    for (std::size_t part = 0; part < parts; ++part) {  // of like sizes
      const std::size_t begin = offsets[e] + rows * part / parts;
      const std::size_t end = offsets[e] + rows * (part + 1) / parts;
      work(chunk{begin, end - begin, e * sizes.dim * sizes.hidden});
    }
  }
}

/// Hidden values of a chunk, how many at most, and then the workspace of the products.
std::size_t chunk_values(const ffn_sizes& sizes, std::size_t rows) {
  return std::min(rows, chunk_rows_max) * sizes.hidden;
}
constexpr std::size_t buffers(ffn_form form) { return form == ffn_form::relu ? 1 : 3; }

void forward_chunk(const grouped_ffn_args& args, const chunk& part, float* h, multiplier multiply) {
  const auto& [form, experts, dim, hidden] = args.sizes;
  const matrix x = {args.x.data() + part.row * dim};
  const std::size_t n = part.rows * hidden;
  float* first = args.first.data() + part.row * hidden;
  multiply(x, {args.w1.data() + part.weights}, first, part.rows, hidden, dim, false);
  if (form == ffn_form::relu) {
    HWY_DYNAMIC_DISPATCH(relu_target)(first, n);
    h = first;
  } else {
    float* third = args.third.data() + part.row * hidden;
    multiply(x, {args.w3.data() + part.weights}, third, part.rows, hidden, dim, false);
    HWY_DYNAMIC_DISPATCH(swiglu_target)(first, third, h, n);
  }
  float* y = args.y.data() + part.row * dim;
  multiply({h}, {args.w2.data() + part.weights}, y, part.rows, dim, hidden, false);
}

void backward_chunk(const grouped_ffn_backward_args& args,
                    const chunk& part,
                    float* buffer,
                    multiplier multiply) {
  const auto& [form, experts, dim, hidden] = args.sizes;
  const std::size_t n = part.rows * hidden;
  const float* first = args.first.data() + part.row * hidden;
  const float* x = args.x.data() + part.row * dim;
  const float* dy = args.y_gradients.data() + part.row * dim;
  float* dx = args.x_gradients.data() + part.row * dim;
  float* du = buffer;
  float* dv = buffer + n;
  const float* h = first;
  multiply({dy}, {args.w2.data() + part.weights, true}, du, part.rows, hidden, dim, false);
  if (form == ffn_form::relu) {
    HWY_DYNAMIC_DISPATCH(relu_backward_target)(first, du, n);
  } else {
    float* again = buffer + 2 * n;
    const float* third = args.third.data() + part.row * hidden;
    HWY_DYNAMIC_DISPATCH(swiglu_backward_target)(first, third, du, dv, again, n);
    h = again;
  }
  float* dw1 = args.w1_gradients.data() + part.weights;
  float* dw2 = args.w2_gradients.data() + part.weights;
  multiply({h, true}, {dy}, dw2, hidden, dim, part.rows, true);  // the last use of dy
  multiply({x, true}, {du}, dw1, dim, hidden, part.rows, true);
  multiply({du}, {args.w1.data() + part.weights, true}, dx, part.rows, dim, hidden, false);
  if (form == ffn_form::relu) return;
  float* dw3 = args.w3_gradients.data() + part.weights;
  multiply({x, true}, {dv}, dw3, dim, hidden, part.rows, true);
  multiply({dv}, {args.w3.data() + part.weights, true}, dx, part.rows, dim, hidden, true);
}

/// What both directions take.
template <class Args>
void check_sizes(const Args& args) {
  const auto& [form, experts, dim, hidden] = args.sizes;
  CHECK(args.offsets.size() == experts + 1);
  CHECK(args.offsets[0] == 0);
  for (std::size_t e = 0; e < experts; ++e) CHECK(args.offsets[e] <= args.offsets[e + 1]);
  const std::size_t rows = args.offsets[experts];
  const std::size_t weights = experts * dim * hidden;
  const bool gated = form == ffn_form::swiglu;
  CHECK(args.x.size() == rows * dim);
  CHECK(args.w1.size() == weights);
  CHECK(args.w3.size() == (gated ? weights : 0));
  CHECK(args.w2.size() == weights);
  CHECK(args.first.size() == rows * hidden);
  CHECK(args.third.size() == (gated ? rows * hidden : 0));
  CHECK(args.workspace.size() >= grouped_ffn_workspace(args.sizes, rows));
}

}  // namespace

/// What the products of a chunk need does not grow evenly with its rows, where they are the depth.
std::size_t grouped_ffn_workspace(const ffn_sizes& sizes, std::size_t rows) {
  const std::size_t most = std::min(rows, chunk_rows_max);
  std::size_t products = std::max(gemm_workspace(most, sizes.hidden, sizes.dim),
                                  gemm_workspace(most, sizes.dim, sizes.hidden));
  for (std::size_t depth = 1; depth <= most; ++depth) {
    products = std::max({products,
                         gemm_workspace(sizes.dim, sizes.hidden, depth),
                         gemm_workspace(sizes.hidden, sizes.dim, depth)});
  }
  return buffers(sizes.form) * chunk_values(sizes, rows) + products;
}

void grouped_ffn_cpu(const grouped_ffn_args& args) {
  check_sizes(args);
  CHECK(args.y.size() == args.x.size());
  const std::size_t values = chunk_values(args.sizes, args.offsets.back());
  const multiplier multiply = {args.workspace.subspan(values)};
  for_each_chunk(args.sizes, args.offsets, [&args, multiply](const chunk& part) {
    forward_chunk(args, part, args.workspace.data(), multiply);
  });
}

void grouped_ffn_backward_cpu(const grouped_ffn_backward_args& args) {
  check_sizes(args);
  CHECK(args.y_gradients.size() == args.x.size());
  CHECK(args.x_gradients.size() == args.x.size());
  CHECK(args.w1_gradients.size() == args.w1.size());
  CHECK(args.w3_gradients.size() == args.w3.size());
  CHECK(args.w2_gradients.size() == args.w2.size());
  const std::size_t values =
      buffers(args.sizes.form) * chunk_values(args.sizes, args.offsets.back());
  const multiplier multiply = {args.workspace.subspan(values)};
  for_each_chunk(args.sizes, args.offsets, [&args, multiply](const chunk& part) {
    backward_chunk(args, part, args.workspace.data(), multiply);
  });
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
