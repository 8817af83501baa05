#pragma once

#include <cstdint>

namespace headrace::kernels {

enum class rate_kind {
  constant,      // peak
  warmup,        // linear warm-up, then peak
  cosine,        // linear warm-up, then half a cosine from peak to floor, then floor
  inverse_root,  // linear warm-up, then peak sqrt(warmup_steps / n)
};

/// A learning rate as a function of the step alone: a replay or a restart needs no state.
struct rate_schedule {
  rate_kind kind = rate_kind::constant;
  float peak = 0.0F;               // > 0
  float floor = 0.0F;              // in [0, peak]; of cosine
  std::uint64_t warmup_steps = 0;  // not of constant; inverse_root takes 0 for 1
  std::uint64_t total_steps = 0;   // of cosine: > warmup_steps, warm-up included
};

/// The rate of step 0, 1, …; with n = step + 1:
///   warm-up, while step < warmup_steps: peak n / warmup_steps, so the first step isn't idle;
///   cosine (Loshchilov & Hutter, ICLR'17, eq. 5): floor + (peak − floor) (1 + cos π t) / 2 with
///     t = (step − warmup_steps) / (total_steps − warmup_steps), and floor from total_steps on;
///   inverse root (Vaswani et al., NeurIPS'17, eq. 3, scaled to its peak): peak sqrt(warmup_steps /
///     n).
/// Computed in double with operations that IEEE 754 rounds exactly (the cosine is a polynomial of
/// ours, within 1e-15 of it), rounded once: a replay on another machine gives the same bits.
float rate_at(const rate_schedule& schedule, std::uint64_t step);

/// Whether the fields are in the ranges above; rate_at CHECKs it.
bool is_valid(const rate_schedule& schedule);

}  // namespace headrace::kernels
