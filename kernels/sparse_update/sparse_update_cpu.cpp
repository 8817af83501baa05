#include "base/check.hpp"
#include "kernels/runtime/half.hpp"
#include "kernels/runtime/prefetch.hpp"
#include "kernels/sparse_update/sparse_update.hpp"

#include <algorithm>
#include <limits>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/sparse_update/sparse_update_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// Gradients of one row as they came.
struct fp32_gradients {
  const float* values;
  template <class D>
  HWY_INLINE hn::Vec<D> load(D d, std::size_t c) const {
    return hn::LoadU(d, values + c);
  }
};
struct int8_gradients {
  const std::int8_t* codes;
  float scale;
  template <class D>
  HWY_INLINE hn::Vec<D> load(D d, std::size_t c) const {
    const hn::Rebind<std::int8_t, D> di8;
    const hn::Rebind<std::int32_t, D> di32;
    return hn::Mul(hn::ConvertTo(d, hn::PromoteTo(di32, hn::LoadU(di8, codes + c))),
                   hn::Set(d, scale));
  }
};

fp32_gradients row_gradients(const sparse_update_args& args, std::size_t row, fp32_gradients) {
  return {args.gradients.data() + row * args.dim};
}
int8_gradients row_gradients(const sparse_update_args& args, std::size_t row, int8_gradients) {
  return {args.codes.data() + row * args.dim, half_to_float(args.scales[row])};
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V limited(D d, V x, float bound) {
  return hn::Min(hn::Max(x, hn::Set(d, -bound)), hn::Set(d, bound));
}

/// How gradients are shaped; a copy, so that stores to rows cannot be thought to change it.
struct gradient_shape {
  float clip;
  float l2;
};

/// Finite, clipped, with weight decay.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V shaped(D d, V g, V w, gradient_shape shape) {
  const auto finite = hn::Le(hn::Abs(g), hn::Set(d, std::numeric_limits<float>::max()));
  g = hn::IfThenElseZero(finite, g);
  if (shape.clip > 0.0F) g = limited(d, g, shape.clip);
  if (shape.l2 != 0.0F) g = hn::Add(g, hn::Mul(hn::Set(d, shape.l2), w));
  return limited(d, g, weight_max);
}

/// The step of `Rule` on columns [begin, end) of one row of [weights | accumulators]. Mul, then
/// Add: never MulAdd, which is fused on some targets only.
template <update_rule Rule, class Gradients>
HWY_INLINE void update_columns(float* row,
                               float* accumulators,
                               const Gradients gradients,
                               std::size_t begin,
                               std::size_t end,
                               float rate,
                               gradient_shape shape) {
  for_columns(begin, end, [=](auto d, std::size_t c) HWY_ATTR {
    auto w = hn::LoadU(d, row + c);
    const auto g = shaped(d, gradients.load(d, c), w, shape);
    if constexpr (Rule == update_rule::add) {
      w = hn::Add(w, g);
    } else if constexpr (Rule == update_rule::sgd) {
      w = hn::Sub(w, hn::Mul(hn::Set(d, rate), g));
    } else {
      const auto before = hn::LoadU(d, accumulators + c);
      const auto a = hn::Min(hn::Add(before, hn::Mul(g, g)), hn::Set(d, weight_max));
      hn::StoreU(a, d, accumulators + c);
      const auto spread = hn::Add(hn::Sqrt(a), hn::Set(d, adagrad_epsilon));
      w = hn::Sub(w, hn::Div(hn::Mul(hn::Set(d, rate), g), spread));
    }
    hn::StoreU(limited(d, w, weight_max), d, row + c);
  });
}

template <update_rule Rule, class Gradients>
void update_rows(const sparse_update_args& args) {
  const std::size_t n = args.rows.size();
  const std::size_t dim = args.dim;
  const std::size_t first = std::min(args.first_columns, dim);
  const gradient_shape shape = {args.clip, args.l2};
  constexpr std::size_t copies = Rule == update_rule::adagrad ? 2 : 1;
  const std::size_t row_bytes = copies * dim * sizeof(float);
  for (std::size_t r = 0; r < std::min(n, prefetch_rows_ahead); ++r) {
    prefetch_row(args.rows[r], row_bytes);
  }
  for (std::size_t r = 0; r < n; ++r) {
    if (r + prefetch_rows_ahead < n) prefetch_row(args.rows[r + prefetch_rows_ahead], row_bytes);
    float* row = args.rows[r];
    const Gradients gradients = row_gradients(args, r, Gradients{});
    update_columns<Rule>(row, row + dim, gradients, 0, first, args.first_rate, shape);
    update_columns<Rule>(row, row + dim, gradients, first, dim, args.rate, shape);
  }
}

template <class Gradients>
void update_by_rule(const sparse_update_args& args) {
  switch (args.rule) {
    case update_rule::add:
      return update_rows<update_rule::add, Gradients>(args);
    case update_rule::sgd:
      return update_rows<update_rule::sgd, Gradients>(args);
    case update_rule::adagrad:
      return update_rows<update_rule::adagrad, Gradients>(args);
  }
}

void sparse_update_target(const sparse_update_args& args) {
  if (args.codes.empty()) return update_by_rule<fp32_gradients>(args);
  update_by_rule<int8_gradients>(args);
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(sparse_update_target);

void sparse_update_cpu(const sparse_update_args& args) {
  const std::size_t values = args.rows.size() * args.dim;
  CHECK(args.codes.empty() ? args.gradients.size() == values : args.codes.size() == values);
  CHECK(args.codes.empty() || args.scales.size() == args.rows.size());
  HWY_DYNAMIC_DISPATCH(sparse_update_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
