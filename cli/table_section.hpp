#pragma once

#include "base/config.hpp"
#include "schemas/schema.hpp"
#include "worker/model/model_spec.hpp"

namespace headrace::cli {

/// Reads `[tables.embedding]` and `[tables.bias]` as the model needs them, and the number of shards
/// they are spread over, which a memory budget is divided by. What is wrong is remembered by the
/// reader.
void read_tables(config_reader& config,
                 const worker::model_spec& model,
                 schemas::job_schema& schema);

}  // namespace headrace::cli
