#pragma once

#include <cstdint>

namespace headrace::kernels {

/// Factors are powers of two, so that scaling and unscaling are exact.
struct loss_scaler_options {
  float initial_scale = 65'536.0F;
  std::uint32_t growth_interval = 2000;  // clean steps before the scale doubles
  float scale_min = 1.0F;
  float scale_max = 0x1p+24F;
};

/// What a checkpoint keeps of a loss_scaler.
struct loss_scaler_state {
  float scale = 0.0F;
  std::uint32_t clean_steps = 0;
  std::uint64_t skipped_total = 0;

  friend bool operator==(const loss_scaler_state&, const loss_scaler_state&) = default;
};

/// Dynamic loss scale for half-precision gradients (Micikevicius et al., ICLR'18, §3.2).
///
/// Each step: multiply the loss gradient by `scale()`, run backward, call `take(all_finite(…))` on
/// the gradients; where it says true, multiply them by `inverse()` of the scale they were made with
/// (read it before take()) and push, else drop them. A step that isn't finite halves the scale,
/// down to `scale_min`; `growth_interval` clean steps in a row double it, up to `scale_max`. No
/// clock and no randomness: the same outcomes give the same scales.
class loss_scaler {
 public:
  /// Scales that aren't powers of two, or out of order, and an interval of 0 are bugs of the
  /// caller.
  explicit loss_scaler(const loss_scaler_options& options = {});
  /// Goes on from a checkpoint.
  loss_scaler(const loss_scaler_options& options, const loss_scaler_state& state);

  float scale() const { return state_.scale; }
  /// 1 / scale, exactly.
  float inverse() const { return 1.0F / state_.scale; }
  const loss_scaler_state& state() const { return state_; }

  /// Ends a step; says whether its gradients may be pushed.
  bool take(bool finite);

 private:
  loss_scaler_options options_;
  loss_scaler_state state_;
};

}  // namespace headrace::kernels
