#pragma once

#include "base/result.hpp"
#include "bench/deepfm/job.hpp"
#include "worker/model/precision.hpp"

#include <cmath>
#include <cstdint>

namespace headrace::bench {

/// Mean loglosses of the same batches, each predicted before it is learned.
struct loss_match {
  double in_f32 = 0;
  double in_precision = 0;

  double difference() const { return in_precision - in_f32; }
  /// No further apart than the issue allows bf16: 5e-4.
  bool matches() const { return std::abs(difference()) <= 5e-4; }
};

/// Lets two models learn `batches` of 512 drawn samples each, through shards of their own that
/// start alike: one in f32, one in `as`. In f32 there is only one model, and it matches itself.
result<loss_match> match_losses(const deepfm_job& job,
                                worker::precision as,
                                std::uint32_t batches = 40);

}  // namespace headrace::bench
