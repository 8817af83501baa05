#include "base/check.hpp"
#include "kernels/softmax_loss/sampled_softmax.hpp"

#include <algorithm>
#include <cmath>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/softmax_loss/sampled_softmax_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/softmax_loss/softmax_row-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// out = scores − log_q.
HWY_INLINE void correct(const float* scores, const float* log_q, std::size_t n, float* out) {
  for_columns(0, n, [scores, log_q, out](auto d, std::size_t c) HWY_ATTR {
    hn::StoreU(hn::Sub(hn::LoadU(d, scores + c), hn::LoadU(d, log_q + c)), d, out + c);
  });
}

/// The loss of one position of weight 1, in double; its gradients, times `weight`, in gradient [n].
/// The positive is kept apart from the rest: neither 1 − p nor ln p is taken from a rounded p.
HWY_INLINE double one_position(const float* scores,
                               const float* log_q,
                               std::size_t n,
                               std::size_t positive,
                               float weight,
                               float* gradient) {
  const float* corrected = scores;
  if (log_q != nullptr) {
    correct(scores, log_q, n, gradient);
    corrected = gradient;
  }
  const float largest = row_max(corrected, n);
  const double gap = static_cast<double>(largest) - static_cast<double>(corrected[positive]);
  float own = 0.0F;
  exp_row(corrected + positive, 1, largest, &own);
  const std::size_t after = positive + 1;
  const double others =
      static_cast<double>(exp_row(corrected, positive, largest, gradient)) +
      static_cast<double>(exp_row(corrected + after, n - after, largest, gradient + after));
  const double total = others + static_cast<double>(own);
  const double factor = static_cast<double>(weight) / total;
  gradient[positive] = 0.0F;
  scale_row(gradient, n, static_cast<float>(factor));
  gradient[positive] = static_cast<float>(-others * factor);
  return gap == 0.0 ? std::log1p(others) : gap + std::log(total);
}

double sampled_softmax_target(const sampled_softmax_args& args) {
  const std::size_t n = args.candidates;
  const std::size_t log_q_stride = args.log_q.size() == n ? 0 : n;
  double sum = 0.0;
  for (std::size_t t = 0; t < args.losses.size(); ++t) {
    float* gradient = args.score_gradients.data() + t * n;
    const float weight = args.weights.empty() ? 1.0F : args.weights[t];
    double loss = 0.0;
    if (weight == 0.0F) {
      std::fill_n(gradient, n, 0.0F);
    } else {
      const float* log_q = args.log_q.empty() ? nullptr : args.log_q.data() + t * log_q_stride;
      const std::size_t positive = args.positives.empty() ? 0 : args.positives[t];
      CHECK(positive < n);
      loss = static_cast<double>(weight) *
             one_position(args.scores.data() + t * n, log_q, n, positive, weight, gradient);
    }
    args.losses[t] = static_cast<float>(loss);
    sum += loss;
  }
  return sum;
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(sampled_softmax_target);

double sampled_softmax_cpu(const sampled_softmax_args& args) {
  CHECK(args.scores.size() == args.losses.size() * args.candidates);
  CHECK(args.score_gradients.size() == args.scores.size());
  CHECK(args.log_q.empty() || args.log_q.size() == args.candidates ||
        args.log_q.size() == args.scores.size());
  CHECK(args.weights.empty() || args.weights.size() == args.losses.size());
  CHECK(args.positives.empty() || args.positives.size() == args.losses.size());
  return HWY_DYNAMIC_DISPATCH(sampled_softmax_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
