#include "bench/deepfm/job.hpp"

#include "bench/deepfm/samples.hpp"
#include "bench/deepfm/texts.hpp"

#include <string>
#include <utility>
#include <vector>

namespace headrace::bench {
namespace {

constexpr float rate = 0.01F;

std::vector<worker::model_feature> all_features() {
  std::vector<worker::model_feature> features;
  for (std::uint32_t f = 1; f <= deepfm_fields; ++f)
    features.push_back({"id" + std::to_string(f), false});
  for (std::uint32_t f = 1; f <= deepfm_numbers; ++f)
    features.push_back({"number" + std::to_string(f), true});
  return features;
}

schemas::table_spec table_of(const worker::model_table& wanted, std::uint32_t id) {
  schemas::table_spec table;
  table.id = table_id{id};
  table.name = wanted.name;
  table.dim = static_cast<std::uint32_t>(wanted.dim);
  table.optimizer.rate = table.optimizer.first_rate = rate;
  table.optimizer.initial_accumulator = table.optimizer.first_initial_accumulator = 0.0F;
  table.optimizer.first_order_columns = wanted.first_order_columns;
  table.init.scale = wanted.init_scale;
  return table;
}

}  // namespace

result<deepfm_job> make_deepfm_job(std::uint32_t shards) {
  auto model =
      worker::model_graph::load(std::string(deepfm_model), "deepfm.toml", {}, all_features());
  if (!model) return model.error();
  deepfm_job job;
  job.schema.shards = shards;
  for (const worker::model_table& wanted : model->tables())
    job.schema.tables.push_back(
        table_of(wanted, static_cast<std::uint32_t>(job.schema.tables.size())));
  job.model = std::make_shared<const worker::model_graph>(std::move(*model));
  return job;
}

}  // namespace headrace::bench
