#include "base/check.hpp"
#include "kernels/pairwise/pairwise.hpp"

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pairwise/pairwise_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// One sample's vectors.
struct sample_view {
  const float* fields;
  std::size_t field_stride;
  std::size_t n;
  std::size_t dim;
};

HWY_INLINE sample_view view(const field_view<const float>& fields, std::size_t sample) {
  return {fields.at(sample, 0), fields.field_stride, fields.fields, fields.dim};
}

/// Where a sample's results go; `pooled` is null where only their sum is wanted.
struct sample_results {
  float* sums;
  float* pooled;
};

/// (Σ_f v)² − Σ_f v² of the columns of one vector from k on; leaves their sums. Four fields in
/// flight hide the latency of the additions.
template <class D>
HWY_INLINE hn::Vec<D> twice_pairs(D d, const sample_view& sample, std::size_t k, float* sums) {
  auto sum0 = hn::Zero(d);
  auto sum1 = sum0;
  auto sum2 = sum0;
  auto sum3 = sum0;
  auto squares0 = sum0;
  auto squares1 = sum0;
  auto squares2 = sum0;
  auto squares3 = sum0;
  const std::size_t stride = sample.field_stride;
  const float* at = sample.fields + k;
  std::size_t f = 0;
  for (; f + 4 <= sample.n; f += 4, at += 4 * stride) {
    const auto v0 = hn::LoadU(d, at);
    const auto v1 = hn::LoadU(d, at + stride);
    const auto v2 = hn::LoadU(d, at + 2 * stride);
    const auto v3 = hn::LoadU(d, at + 3 * stride);
    sum0 = hn::Add(sum0, v0);
    sum1 = hn::Add(sum1, v1);
    sum2 = hn::Add(sum2, v2);
    sum3 = hn::Add(sum3, v3);
    squares0 = hn::MulAdd(v0, v0, squares0);
    squares1 = hn::MulAdd(v1, v1, squares1);
    squares2 = hn::MulAdd(v2, v2, squares2);
    squares3 = hn::MulAdd(v3, v3, squares3);
  }
  for (; f < sample.n; ++f, at += stride) {
    const auto v = hn::LoadU(d, at);
    sum0 = hn::Add(sum0, v);
    squares0 = hn::MulAdd(v, v, squares0);
  }
  const auto sum = hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3));
  const auto squares = hn::Add(hn::Add(squares0, squares1), hn::Add(squares2, squares3));
  hn::StoreU(sum, d, sums + k);
  return hn::MulSub(sum, sum, squares);
}

/// Vectors of D from column k while they fit: pools each, adds their sum to `total`; returns the
/// column it came to.
template <class D>
HWY_INLINE std::size_t pool_columns(
    D d, const sample_view& sample, const sample_results& to, std::size_t k, float& total) {
  if (k + hn::Lanes(d) > sample.dim) return k;
  auto terms = hn::Zero(d);
  for (; k + hn::Lanes(d) <= sample.dim; k += hn::Lanes(d)) {
    const auto term = twice_pairs(d, sample, k, to.sums);
    terms = hn::Add(terms, term);
    if (to.pooled != nullptr) hn::StoreU(hn::Mul(hn::Set(d, 0.5F), term), d, to.pooled + k);
  }
  total += hn::GetLane(hn::SumOfLanes(d, terms));
  return k;
}

float pool_sample(const sample_view& sample, const sample_results& to) {
  float total = 0.0F;
  std::size_t k = pool_columns(hn::CappedTag<float, lanes_max>(), sample, to, 0, total);
  k = pool_columns(hn::CappedTag<float, 4>(), sample, to, k, total);
  pool_columns(hn::CappedTag<float, 1>(), sample, to, k, total);
  return 0.5F * total;
}

void pairwise_target(const pairwise_args& args) {
  const std::size_t dim = args.fields.dim;
  const bool per_column = args.output == pairwise_output::per_column;
  for (std::size_t s = 0; s < args.fields.samples; ++s) {
    float* pooled = per_column ? args.out.data() + s * dim : nullptr;
    const float total = pool_sample(view(args.fields, s), {args.sums.data() + s * dim, pooled});
    if (!per_column) args.out[s] = total;
  }
}

/// to[f, k] = factor(k) (sums[k] − v[f, k]), column by column: factor and sum stay in registers.
template <class Factor>
HWY_INLINE void sample_gradient(const sample_view& sample,
                                const float* sums,
                                const Factor& factor,
                                float* gradients,
                                std::size_t gradient_stride) {
  for_columns(0,
              sample.dim,
              [sample, sums, factor, gradients, gradient_stride](auto d, std::size_t k) HWY_ATTR {
                const auto sum = hn::LoadU(d, sums + k);
                const auto g = factor(d, k);
                const float* v = sample.fields + k;
                float* to = gradients + k;
                for (std::size_t f = 0; f < sample.n;
                     ++f, v += sample.field_stride, to += gradient_stride) {
                  hn::StoreU(hn::Mul(g, hn::Sub(sum, hn::LoadU(d, v))), d, to);
                }
              });
}

void pairwise_backward_target(const pairwise_backward_args& args) {
  const std::size_t dim = args.fields.dim;
  const std::size_t stride = args.field_gradients.field_stride;
  for (std::size_t s = 0; s < args.fields.samples; ++s) {
    const sample_view sample = view(args.fields, s);
    const float* sums = args.sums.data() + s * dim;
    float* to = args.field_gradients.at(s, 0);
    if (args.output == pairwise_output::per_column) {
      const float* g = args.out_gradients.data() + s * dim;
      const auto own = [g](auto d, std::size_t k) HWY_ATTR { return hn::LoadU(d, g + k); };
      sample_gradient(sample, sums, own, to, stride);
    } else {
      const float g = args.out_gradients[s];
      const auto shared = [g](auto d, std::size_t) HWY_ATTR { return hn::Set(d, g); };
      sample_gradient(sample, sums, shared, to, stride);
    }
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(pairwise_target);
HWY_EXPORT(pairwise_backward_target);

namespace {

std::size_t out_size(const field_view<const float>& fields, pairwise_output output) {
  return output == pairwise_output::per_column ? fields.samples * fields.dim : fields.samples;
}

}  // namespace

void pairwise_cpu(const pairwise_args& args) {
  CHECK(args.fields.fits());
  CHECK(args.out.size() == out_size(args.fields, args.output));
  CHECK(args.sums.size() == args.fields.samples * args.fields.dim);
  HWY_DYNAMIC_DISPATCH(pairwise_target)(args);
}

void pairwise_backward_cpu(const pairwise_backward_args& args) {
  CHECK(args.fields.fits());
  CHECK(args.sums.size() == args.fields.samples * args.fields.dim);
  CHECK(args.out_gradients.size() == out_size(args.fields, args.output));
  CHECK(args.field_gradients.samples == args.fields.samples);
  CHECK(args.field_gradients.fields == args.fields.fields);
  CHECK(args.field_gradients.dim == args.fields.dim);
  CHECK(args.field_gradients.fits());
  HWY_DYNAMIC_DISPATCH(pairwise_backward_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
