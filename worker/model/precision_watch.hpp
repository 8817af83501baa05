#pragma once

#include "kernels/loss_scaler/loss_scaler.hpp"
#include "kernels/loss_scaler/precision_guard.hpp"
#include "kernels/loss_scaler/range_monitor.hpp"
#include "worker/model/precision.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::worker {

/// What became of a model's precision so far: metrics.
struct precision_figures {
  precision wanted = precision::f32;
  std::uint64_t checks = 0;            // slices of layers that were computed again in f32
  std::uint64_t promotions = 0;        // of which were off: the layer then runs in f32 for a while
  std::uint64_t steps_not_finite = 0;  // skipped: nothing of them was pushed
  float scale = 1.0F;                  // of the loss: 1 but in fp16

  friend bool operator==(const precision_figures&, const precision_figures&) = default;
};

/// Decides in which precision the layers of a model run at each step: as wanted, but f32 for a
/// layer that a check has promoted, and, in fp16, while the layer's inputs or weights are or were
/// lately beyond half of what fp16 holds. Keeps the loss scale of fp16 (2^16 at first, doubled
/// after 2,000 clean steps, halved where a step isn't finite).
///
/// Steps are counted from the start of the process, so the same batches after a start get the same
/// precisions. Allocates in the constructor only; single-threaded: the model owns it.
class precision_watch {
 public:
  /// Looks at amax that are remembered of a tensor.
  static constexpr std::size_t window = 16;
  /// Rows that a check computes again.
  static constexpr std::size_t check_rows = 64;
  /// ‖half − f32‖ / ‖f32‖ that are fine; a check fails beyond twice that.
  static constexpr double forward_tolerance = 4e-3;
  static constexpr double backward_tolerance = 1e-2;

  precision_watch(precision wanted, std::size_t layers);

  /// Whether this step's layers are checked. Every 256th step is.
  bool checks() const;
  /// The rows of a layer that a check computes again.
  kernels::row_slice slice(std::size_t rows) const;
  /// What a check of a layer found; true where the layer was promoted.
  bool checked(std::size_t layer, double error, double tolerance);

  /// Tensors of a layer that are looked at.
  enum class tensor : std::uint8_t { input, weights, gradient };
  /// Whether amax are wanted of this step: at checks, and of inputs and weights always in fp16.
  bool looks(tensor which) const;
  void look(std::size_t layer, tensor which, std::span<const float> values);
  /// Largest |value| of the last looks; infinite where one wasn't finite.
  float amax(std::size_t layer, tensor which) const;

  /// What a layer runs in, after the looks at its input and weights.
  precision of(std::size_t layer) const;
  float scale() const { return wanted_ == precision::fp16 ? scaler_.scale() : 1.0F; }
  /// Ends a step that learned: whether its loss and gradients are finite.
  void end_step(bool finite);
  precision_figures figures() const;

 private:
  static std::size_t place(std::size_t layer, tensor which) {
    return 3 * layer + static_cast<std::size_t>(which);
  }

  precision wanted_;
  kernels::loss_scaler scaler_;
  kernels::precision_guard guard_;
  kernels::range_monitor ranges_;
  std::uint64_t step_ = 0;
  std::uint64_t checks_ = 0;
  std::uint64_t steps_not_finite_ = 0;
};

}  // namespace headrace::worker
