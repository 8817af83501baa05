#pragma once

#include "base/config.hpp"
#include "schemas/schema.hpp"
#include "worker/model/model_graph.hpp"

namespace headrace::cli {

/// Reads `[tables.NAME]` for each table of the model, and the number of shards they are spread
/// over, which a memory budget is divided by. `[tables.dense]` stands for all matrices of a network
/// that have no section of their own. What is wrong is remembered by the reader.
void read_tables(config_reader& config,
                 const worker::model_graph& model,
                 schemas::job_schema& schema);

}  // namespace headrace::cli
