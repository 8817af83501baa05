#include "base/check.hpp"
#include "kernels/fm/fm.hpp"

#include <algorithm>
#include <array>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/fm/fm_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// The occurrences of one sample.
struct sample_view {
  const float* rows;             // [u, width]
  const std::uint32_t* inverse;  // [features]
  const float* values;           // [features], null when all are 1
  std::size_t features;
  std::size_t width;

  HWY_INLINE const float* row(std::size_t f) const { return rows + inverse[f] * width; }
  HWY_INLINE float value(std::size_t f) const { return values == nullptr ? 1.0F : values[f]; }
};

template <class Args>
HWY_INLINE sample_view view(const Args& args, std::size_t sample) {
  const std::size_t begin = sample * args.features;
  return {args.rows.data(),
          args.inverse.data() + begin,
          args.values.empty() ? nullptr : args.values.data() + begin,
          args.features,
          1 + args.latent_dim};
}

HWY_INLINE float first_order(const sample_view& sample) {
  float sum = 0.0F;
  for (std::size_t f = 0; f < sample.features; ++f) sum += sample.row(f)[0] * sample.value(f);
  return sum;
}

/// sums[k] = Σ v x and terms[k] = (Σ v x)² − Σ (v x)² for columns [begin, end); terms from 0.
HWY_INLINE void second_order(
    const sample_view& sample, std::size_t begin, std::size_t end, float* sums, float* terms) {
  for_columns(begin, end, [&sample, begin, sums, terms](auto d, std::size_t k) HWY_ATTR {
    auto sum = hn::Zero(d);
    auto squares = hn::Zero(d);
    for (std::size_t f = 0; f < sample.features; ++f) {
      const auto vx = hn::Mul(hn::LoadU(d, sample.row(f) + 1 + k), hn::Set(d, sample.value(f)));
      sum = hn::Add(sum, vx);
      squares = hn::Add(squares, hn::Mul(vx, vx));
    }
    hn::StoreU(sum, d, sums + k);
    hn::StoreU(hn::Sub(hn::Mul(sum, sum), squares), d, terms + (k - begin));
  });
}

/// Column k goes to lane k mod 4: the same additions on every target, however wide its vectors.
HWY_INLINE void add_to_lanes(const float* terms, std::size_t n, std::array<float, 4>& lanes) {
  std::size_t k = 0;
  for (; k + 4 <= n; k += 4) {
    for (std::size_t lane = 0; lane < 4; ++lane) lanes[lane] += terms[k + lane];
  }
  for (; k < n; ++k) lanes[k % 4] += terms[k];
}

float interaction(const sample_view& sample, std::size_t latent_dim, float* sums) {
  constexpr std::size_t block = 64;  // a multiple of 4, so that lanes do not depend on it
  std::array<float, block> terms;
  std::array<float, 4> lanes{};
  for (std::size_t begin = 0; begin < latent_dim; begin += block) {
    const std::size_t end = std::min(begin + block, latent_dim);
    second_order(sample, begin, end, sums, terms.data());
    add_to_lanes(terms.data(), end - begin, lanes);
  }
  return 0.5F * ((lanes[0] + lanes[1]) + (lanes[2] + lanes[3]));
}

void fm_forward_target(const fm_forward_args& args) {
  for (std::size_t s = 0; s < args.logits.size(); ++s) {
    const sample_view sample = view(args, s);
    const float linear = args.bias + first_order(sample);
    float* sums = args.sums.data() + s * args.latent_dim;
    args.logits[s] =
        args.latent_dim == 0 ? linear : linear + interaction(sample, args.latent_dim, sums);
  }
}

/// gradient += gx * [1, sums − v x] for one occurrence.
HWY_INLINE void add_occurrence(const float* row,
                               const float* sums,
                               std::size_t latent_dim,
                               float x,
                               float gx,
                               float* gradient) {
  gradient[0] += gx;
  for_columns(0, latent_dim, [row, sums, x, gx, gradient](auto d, std::size_t k) HWY_ATTR {
    const auto vx = hn::Mul(hn::LoadU(d, row + 1 + k), hn::Set(d, x));
    const auto term = hn::Mul(hn::Set(d, gx), hn::Sub(hn::LoadU(d, sums + k), vx));
    hn::StoreU(hn::Add(hn::LoadU(d, gradient + 1 + k), term), d, gradient + 1 + k);
  });
}

float fm_backward_target(const fm_backward_args& args) {
  double bias_gradient = 0.0;
  for (std::size_t s = 0; s < args.logit_gradients.size(); ++s) {
    const sample_view sample = view(args, s);
    const float* sums = args.sums.data() + s * args.latent_dim;
    const float g = args.logit_gradients[s];
    bias_gradient += static_cast<double>(g);
    for (std::size_t f = 0; f < sample.features; ++f) {
      const float x = sample.value(f);
      float* gradient = args.row_gradients.data() + sample.inverse[f] * sample.width;
      add_occurrence(sample.row(f), sums, args.latent_dim, x, g * x, gradient);
    }
  }
  return static_cast<float>(bias_gradient);
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(fm_forward_target);
HWY_EXPORT(fm_backward_target);

void fm_forward_cpu(const fm_forward_args& args) {
  CHECK(args.inverse.size() == args.logits.size() * args.features);
  CHECK(args.values.empty() || args.values.size() == args.inverse.size());
  CHECK(args.sums.size() == args.logits.size() * args.latent_dim);
  HWY_DYNAMIC_DISPATCH(fm_forward_target)(args);
}

float fm_backward_cpu(const fm_backward_args& args) {
  CHECK(args.inverse.size() == args.logit_gradients.size() * args.features);
  CHECK(args.values.empty() || args.values.size() == args.inverse.size());
  CHECK(args.sums.size() == args.logit_gradients.size() * args.latent_dim);
  CHECK(args.row_gradients.size() == args.rows.size());
  return HWY_DYNAMIC_DISPATCH(fm_backward_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
