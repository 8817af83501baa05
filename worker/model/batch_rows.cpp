#include "worker/model/batch_rows.hpp"

#include "base/check.hpp"

#include <numeric>

namespace headrace::worker {
namespace {

// Rows 0 … rows - 1 of a matrix.
void name_rows(std::size_t rows, row_set& set) {
  set.inverse.clear();
  if (set.keys.size() == rows) return;
  set.keys.resize(rows);
  std::iota(set.keys.begin(), set.keys.end(), std::uint64_t{0});
}

}  // namespace

void batch_rows::plan(const schemas::sample_batch& batch, std::vector<row_set>& sets) {
  const auto tables = graph_->tables();
  sets.resize(tables.size());
  for (std::size_t t = 0; t < tables.size(); ++t) {
    row_set& set = sets[t];
    set.table = table_id{static_cast<std::uint32_t>(t)};
    set.dim = tables[t].dim;
    set.block_rows = tables[t].block_rows;
    set.factors.clear();
    set.lane = tables[t].network ? schemas::lane::dense : schemas::lane::rows;
    if (tables[t].network) {
      set.keys.clear();
      continue;
    }
    if (tables[t].rows > 0) {
      name_rows(tables[t].rows, set);
      set.counts.assign(tables[t].rows, batch.samples);  // used once a sample
      set.size_buffers();
      continue;
    }
    std::span<const std::uint64_t> keys = batch.keys;
    if (tables[t].features.empty() && tables[t].lists.empty()) {
      set.features = batch.features;
      set.factors = batch.values;
    } else {
      choose_keys(batch, tables[t], set);
      keys = chosen_keys_;
    }
    kernels::dedup({.keys = keys,
                    .scratch = scratch_,
                    .unique = set.keys,
                    .inverse = set.inverse,
                    .counts = set.counts});
    set.size_buffers();
  }
}

void batch_rows::plan_network(std::vector<row_set>& sets) const {
  const auto tables = graph_->tables();
  CHECK(sets.size() == tables.size());
  for (std::size_t t = 0; t < tables.size(); ++t) {
    if (!tables[t].network) continue;
    name_rows(tables[t].rows, sets[t]);
    sets[t].counts.assign(tables[t].rows, 1);
    sets[t].size_buffers();
  }
}

// Keys of a table's features, sample by sample, then those of each of its lists.
void batch_rows::choose_keys(const schemas::sample_batch& batch,
                             const model_table& table,
                             row_set& set) {
  const auto& chosen = table.features;
  CHECK(chosen.empty() || chosen.back() < batch.features);
  const bool all = chosen.empty() && !table.only_lists;
  set.features = all ? batch.features : static_cast<std::uint32_t>(chosen.size());
  chosen_keys_.clear();
  if (all) {
    chosen_keys_.assign(batch.keys.begin(), batch.keys.end());
    set.factors = batch.values;
  }
  for (std::size_t s = 0; s < batch.samples; ++s) {
    for (const std::uint32_t f : chosen) {
      chosen_keys_.push_back(batch.keys[s * batch.features + f]);
      if (!batch.values.empty()) set.factors.push_back(batch.values[s * batch.features + f]);
    }
  }
  for (const std::uint32_t list : table.lists) {
    CHECK(list < batch.sequences);
    auto from = batch.sequence_keys.begin();
    for (std::size_t i = 0; i < batch.lengths.size(); ++i) {
      const auto end = from + batch.lengths[i];
      if (i % batch.sequences == list) chosen_keys_.insert(chosen_keys_.end(), from, end);
      from = end;
    }
  }
}

}  // namespace headrace::worker
