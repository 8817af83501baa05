#include "cli/job/push_section.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace headrace::cli {
namespace {

using worker::push_choice;

push_choice read_choice(config_reader& config, const std::string& key, push_choice fallback) {
  return config.choice<push_choice>(key,
                                    worker::name(fallback),
                                    {{"fp32", push_choice::fp32},
                                     {"int8", push_choice::int8},
                                     {"int4", push_choice::int4},
                                     {"topk5", push_choice::topk5},
                                     {"topk10", push_choice::topk10},
                                     {"auto", push_choice::automatic}});
}

bool forgets_fast(const schemas::optimizer_spec& optimizer) {
  const bool adam = optimizer.kind == schemas::optimizer_kind::adam ||
                    optimizer.kind == schemas::optimizer_kind::adamw;
  return adam && optimizer.beta2 < 0.999F;
}

/// Refuses what `table` cannot do.
void check_choice(config_reader& config,
                  const std::string& key,
                  push_choice choice,
                  const worker::model_table& table,
                  const schemas::optimizer_spec& optimizer) {
  if (!worker::leaves_out(choice)) return;
  if (table.block_rows > 0) {
    config.refuse(key,
                  "rows of " + table.name +
                      " are pushed only while their expert has something to " + "learn, so what " +
                      std::string(worker::name(choice)) +
                      " leaves out cannot be sent later; accepted here is \"int8\" | \"fp32\" | "
                      "\"int4\"");
  } else if (table.rows == 0) {
    config.refuse(key,
                  "rows of " + table.name + " are looked up by key, so what " +
                      std::string(worker::name(choice)) +
                      " leaves out cannot be sent later; accepted here is \"int8\" | \"fp32\" | "
                      "\"int4\"");
  } else if (forgets_fast(optimizer)) {
    config.refuse(key,
                  std::string(worker::name(choice)) +
                      " under Adam needs a beta2 of 0.999 or more; " +
                      "accepted here is \"int8\" | \"fp32\" | \"int4\"");
  }
}

}  // namespace

worker::push_spec read_push(config_reader& config,
                            const worker::model_graph& model,
                            const schemas::job_schema& schema) {
  worker::push_spec push;
  if (model.counts()) {  // anything else would round counts
    config.choice<push_choice>("train.push", "fp32", {{"fp32", push_choice::fp32}});
    push.tables.assign(schema.tables.size(), push_choice::fp32);
    return push;
  }
  const auto rows = config.choice<push_choice>(
      "train.push", "int8", {{"int8", push_choice::int8}, {"fp32", push_choice::fp32}});
  push.packed_keys =
      config.choice<bool>("train.push_keys", "raw", {{"raw", false}, {"packed", true}});
  const bool network = std::ranges::any_of(model.tables(), &worker::model_table::network);
  const auto dense = network ? read_choice(config, "tables.dense.push", rows) : rows;
  for (std::size_t t = 0; t < schema.tables.size(); ++t) {
    const worker::model_table& table = model.tables()[t];
    const std::string key = "tables." + table.name + ".push";
    const bool as_network = table.network && !(table.block_rows > 0 && worker::leaves_out(dense));
    push.tables.push_back(read_choice(config, key, as_network ? dense : rows));
    check_choice(config, key, push.tables.back(), table, schema.tables[t].optimizer);
  }
  return push;
}

}  // namespace headrace::cli
