#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Factorization machine of second order (Rendle, ICDM'10, eq. 5), over the unique rows of a batch:
/// logit = bias + Σ_f w x + ½ Σ_k [(Σ_f v_k x)² − Σ_f (v_k x)²].
///
/// rows [u, 1 + latent_dim]: column 0 is the first-order weight w, then v. inverse [n * features] <
/// u, sample-major; values [n * features] or empty when all are 1. Out: logits [n]; sums [n,
/// latent_dim] = Σ_f v x, which backward needs. latent_dim 0 = logistic regression, features 0 =
/// the bias alone. The CPU targets agree bit for bit (fixed order, sums over k in 4 lanes then a
/// fixed tree). Bounds against exact, while nothing over- or underflows: logits (2 features +
/// latent_dim + 8) * 2^-23 * (|bias| + Σ|w x| + ½ Σ_k (Σ_f|v x|)²), sums (features + 1) * 2^-24 *
/// Σ_f|v x|.
struct fm_forward_args {
  std::span<const float> rows;
  std::span<const std::uint32_t> inverse;
  std::span<const float> values = {};
  std::size_t features = 0;
  std::size_t latent_dim = 0;
  float bias = 0.0F;
  std::span<float> logits;
  std::span<float> sums;
};
void fm_forward_ref(const fm_forward_args& args);  // double accumulators
void fm_forward_cpu(const fm_forward_args& args);

inline void fm_forward(const fm_forward_args& args) { fm_forward_cpu(args); }

/// Gradients of the loss with g = d loss / d logit: dw += g x, dv_k += g x (sums_k − v_k x), dbias
/// = Σ g.
///
/// Adds to row_gradients [u, 1 + latent_dim] sample by sample, feature by feature; returns dbias
/// (summed in double). `sums` as forward left them. The CPU targets agree bit for bit. Bound
/// against exact arithmetic on these inputs, while nothing over- or underflows, for a row of len
/// occurrences: (len + 5) * 2^-24 * (|what was there| + Σ |g x| (|sums_k| + |v_k x|)), without the
/// bracket for dw.
struct fm_backward_args {
  std::span<const float> rows;
  std::span<const std::uint32_t> inverse;
  std::span<const float> values = {};
  std::size_t features = 0;
  std::size_t latent_dim = 0;
  std::span<const float> sums;
  std::span<const float> logit_gradients;
  std::span<float> row_gradients;
};
float fm_backward_ref(const fm_backward_args& args);
float fm_backward_cpu(const fm_backward_args& args);

inline float fm_backward(const fm_backward_args& args) { return fm_backward_cpu(args); }

}  // namespace headrace::kernels
