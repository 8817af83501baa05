#pragma once

#include "base/ids.hpp"
#include "schemas/schema.hpp"

namespace headrace::ps {

/// What the rates of a push of batch `batch` of a source are multiplied by: 1 where the schedule is
/// constant. Batches count from 1. The same bits on every machine. A floor of 0 gives at least the
/// smallest normal float, so that an optimizer never divides by a rate of 0.
float rate_share(const schemas::schedule_spec& schedule, batch_number batch);

}  // namespace headrace::ps
