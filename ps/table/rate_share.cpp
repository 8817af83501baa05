#include "ps/table/rate_share.hpp"

#include "kernels/rate_schedule/rate_schedule.hpp"

#include <algorithm>
#include <limits>

namespace headrace::ps {

float rate_share(const schemas::schedule_spec& schedule, batch_number batch) {
  if (schedule.kind == schemas::schedule_kind::constant) return 1.0F;
  const kernels::rate_schedule of = {.kind = static_cast<kernels::rate_kind>(schedule.kind),
                                     .peak = 1.0F,
                                     .floor = schedule.floor,
                                     .warmup_steps = schedule.warmup_batches,
                                     .total_steps = schedule.total_batches};
  const float share = kernels::rate_at(of, std::max<std::uint64_t>(1, batch.value) - 1);
  return std::max(share, std::numeric_limits<float>::min());
}

}  // namespace headrace::ps
