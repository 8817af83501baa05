#pragma once

#include "base/config.hpp"
#include "schemas/schema.hpp"
#include "worker/model/model_graph.hpp"
#include "worker/step/push_choice.hpp"

namespace headrace::cli {

/// Reads how gradients travel: `[train] push` and `push_keys` for all tables, `[tables.NAME] push`
/// of one and `[tables.dense] push` of the matrices of a network. What is wrong is remembered by
/// the reader: topk and auto of a table that is looked up, whose rows come and go and so have
/// nowhere to keep what is left out; the same under Adam with a beta2 below 0.999, whose second
/// moments would follow the bursts.
worker::push_spec read_push(config_reader& config,
                            const worker::model_graph& model,
                            const schemas::job_schema& schema);

}  // namespace headrace::cli
