#pragma once

#include <span>

namespace headrace::kernels {

/// Binary cross-entropy on logits, forward and backward in one pass.
///
/// logits z [n] finite, labels y [n] in [0, 1]. Out: probabilities p [n] = 1 / (1 + e^-z), in [0,
/// 1]; logit_gradients [n] = p - y, of the *summed* loss. Returns Σ max(z, 0) - z y + ln(1 +
/// e^-|z|), summed in double in a fixed order. Never overflows. Bound of the CPU version: |p error|
/// <= 4 * 2^-24 relative (p >= 2^-126), |loss error| <= 8 * 2^-24 * (|z| + ln 2) a sample. Not
/// bit-exact between targets: worker side only.
///
/// With a logit_offset o, loss and gradients are those of z + o, rounded once; probabilities stay
/// those of z. So a model learns logits of a stream whose odds are e^o times those it is asked for.
struct bce_args {
  std::span<const float> logits;
  std::span<const float> labels;
  std::span<float> probabilities;
  std::span<float> logit_gradients;
  float logit_offset = 0.0F;
};
double bce_ref(const bce_args& args);
double bce_cpu(const bce_args& args);

inline double bce(const bce_args& args) { return bce_cpu(args); }

}  // namespace headrace::kernels
