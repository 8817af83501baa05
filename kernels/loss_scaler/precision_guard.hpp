#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headrace::kernels {

/// ‖got − wanted‖₂ / ‖wanted‖₂, summed in double: 0 where both are 0, infinity where a value is NaN
/// or infinite, or only `wanted` is 0.
double relative_error(std::span<const float> got, std::span<const float> wanted);

struct precision_guard_options {
  std::uint64_t check_every = 256;    // steps between two checks of an op
  std::uint64_t promoted_for = 1000;  // steps that a promoted op runs in f32
  double error_factor = 2.0;          // error allowed, in tolerances
  std::size_t slice_rows = 64;
};

/// Rows [begin, end) of a batch.
struct row_slice {
  std::size_t begin = 0;
  std::size_t end = 0;

  friend bool operator==(const row_slice&, const row_slice&) = default;
};

/// Watches ops that run in half precision: at every `check_every`-th step a slice of the op's rows
/// is computed again in f32, and where the two differ by more than `error_factor` times the op's
/// tolerance, the op runs in f32 for the next `promoted_for` steps.
///
///   if (guard.due(step)) { recompute guard.slice(step, rows); guard.report(op, step, error, tol);
///   } run op in guard.promoted(op, step) ? f32 : half;
///
/// Decides by step numbers alone, so that a replay decides alike. A NaN error promotes. Allocates
/// in the constructor only; single-threaded.
class precision_guard {
 public:
  explicit precision_guard(std::size_t ops, const precision_guard_options& options = {});

  /// Whether ops are checked at this step: 0, check_every, …
  bool due(std::uint64_t step) const { return step % options_.check_every == 0; }
  /// The rows to compute again: slice_rows in a row, or all where there are fewer; which ones is
  /// drawn from the step.
  row_slice slice(std::uint64_t step, std::size_t rows) const;
  /// What a check at `step` found; says whether it promoted the op (again, where it was already).
  bool report(std::size_t op, std::uint64_t step, double error, double tolerance);

  /// Whether the op runs in f32 at `step`, given the reports so far.
  bool promoted(std::size_t op, std::uint64_t step) const;
  /// Checks that failed, of all ops: a metric.
  std::uint64_t promotions_total() const { return promotions_total_; }

 private:
  precision_guard_options options_;
  std::vector<std::uint64_t> promoted_until_;  // [ops]: the first step that is half again
  std::uint64_t promotions_total_ = 0;
};

}  // namespace headrace::kernels
