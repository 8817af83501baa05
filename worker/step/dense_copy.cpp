#include "worker/step/dense_copy.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <utility>

namespace headrace::worker {

dense_copy::dense_copy(const graph_model& model, std::uint32_t shards)
    : versions_(shards), epochs_(shards, headrace::epoch{1}) {
  std::vector<row_set> sets(model.graph().tables().size());
  for (std::size_t t = 0; t < sets.size(); ++t) {
    const model_table& table = model.graph().tables()[t];
    sets[t].table = table_id{static_cast<std::uint32_t>(t)};
    sets[t].dim = table.dim;
    sets[t].block_rows = table.block_rows;
    sets[t].lane = table.network ? schemas::lane::dense : schemas::lane::rows;
  }
  model.plan_network(sets);
  for (row_set& set : sets) {
    if (set.lane == schemas::lane::dense) tables_.push_back(std::move(set));
  }
  for (const row_set& table : tables_) lent_gradients_.emplace_back(table.gradients.size());
  homes_.build(tables_, shards);
}

void dense_copy::take_pulled(std::span<row_set> sets, const pull_plan& pulled) {
  bool any = false;
  for (row_set& table : tables_) {
    row_set& set = sets[table.table.value];
    if (set.keys.empty()) continue;
    CHECK(set.values.size() == table.values.size());
    std::swap(set.values, table.values);
    any = true;
  }
  if (!any) return;
  pulled_ = true;
  for (std::uint32_t s = 0; s < versions_.size(); ++s) {
    versions_[s] = pulled.pulled_version(shard_id{s});
    epochs_[s] = pulled.pulled_epoch(shard_id{s});
  }
}

void dense_copy::lend(std::span<row_set> sets) {
  CHECK(pulled_ || empty());
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    row_set& set = sets[tables_[i].table.value];
    std::swap(set.values, tables_[i].values);
    std::ranges::fill(lent_gradients_[i], 0.0F);
    std::swap(set.gradients, lent_gradients_[i]);
  }
}

void dense_copy::take_back(std::span<row_set> sets, bool sum) {
  for (std::size_t i = 0; i < tables_.size(); ++i) {
    row_set& set = sets[tables_[i].table.value];
    std::swap(set.values, tables_[i].values);
    std::swap(set.gradients, lent_gradients_[i]);
    if (!sum) continue;
    std::vector<float>& total = tables_[i].gradients;
    if (!summed_) {
      std::swap(total, lent_gradients_[i]);
    } else {
      for (std::size_t v = 0; v < total.size(); ++v) total[v] += lent_gradients_[i][v];
    }
  }
  summed_ = summed_ || sum;
}

frame dense_copy::section(schemas::push_section header, gradient_packer& packer) const {
  if (!homes_.touches(header.shard)) return {};
  header.lane = schemas::lane::dense;
  header.epoch = epochs_[header.shard.value];
  header.pulled_version = versions_[header.shard.value];
  if (!summed_) return schemas::encode(header);
  return packer.section(std::move(header), tables_, homes_);
}

}  // namespace headrace::worker
