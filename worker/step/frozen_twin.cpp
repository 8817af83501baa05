#include "worker/step/frozen_twin.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/init_rows/init_rows.hpp"

namespace headrace::worker {

frozen_twin::frozen_twin(const schemas::job_schema& schema) {
  for (const auto& spec : schema.tables) tables_.push_back({spec, {}, {}, {}});
}

void frozen_twin::note(std::span<const row_set> sets) {
  for (const row_set& set : sets) tables_[set.table.value].seen.insert(set.keys.begin(), set.keys.end());
}

std::vector<row_set> frozen_twin::noted(std::size_t rows_max) const {
  std::vector<row_set> chunks;
  for (const table_copy& table : tables_) {
    std::vector<std::uint64_t> keys(table.seen.begin(), table.seen.end());
    std::sort(keys.begin(), keys.end());
    for (std::size_t from = 0; from < keys.size(); from += rows_max) {
      const std::size_t n = std::min(rows_max, keys.size() - from);
      row_set chunk;
      chunk.table = table.spec.id;
      chunk.dim = table.spec.dim;
      const auto first = keys.begin() + static_cast<std::ptrdiff_t>(from);
      chunk.keys.assign(first, first + static_cast<std::ptrdiff_t>(n));
      chunk.size_buffers();
      chunks.push_back(std::move(chunk));
    }
  }
  return chunks;
}

void frozen_twin::keep(const row_set& pulled) {
  table_copy& table = tables_[pulled.table.value];
  for (std::size_t i = 0; i < pulled.rows(); ++i) {
    if (!table.place.emplace(pulled.keys[i], table.values.size()).second) continue;
    const auto from = pulled.values.begin() + static_cast<std::ptrdiff_t>(i * pulled.dim);
    table.values.insert(table.values.end(), from, from + static_cast<std::ptrdiff_t>(pulled.dim));
  }
}

void frozen_twin::freeze() {
  frozen_ = true;
  for (table_copy& table : tables_) table.seen = {};
}

void frozen_twin::fill(std::span<row_set> sets) const {
  for (row_set& set : sets) {
    const table_copy& table = tables_[set.table.value];
    for (std::size_t i = 0; i < set.rows(); ++i) {
      const std::span<float> row(&set.values[i * set.dim], set.dim);
      const auto kept = table.place.find(set.keys[i]);
      if (kept != table.place.end()) {
        std::memcpy(row.data(), &table.values[kept->second], row.size_bytes());
      } else {
        kernels::init_rows({.keys = std::span(&set.keys[i], 1),
                            .seed = table.spec.init.seed,
                            .scale = table.spec.init.scale,
                            .first_order_columns = table.spec.optimizer.first_order_columns,
                            .dim = set.dim,
                            .values = row});
      }
    }
  }
}

std::size_t frozen_twin::rows() const {
  std::size_t total = 0;
  for (const table_copy& table : tables_) total += table.place.size();
  return total;
}

std::size_t frozen_twin::bytes() const {
  constexpr std::size_t node_bytes = 40;  // unordered_map node with its bucket, about
  std::size_t total = 0;
  for (const table_copy& table : tables_) {
    total += (table.place.size() + table.seen.size()) * node_bytes + table.values.size() * sizeof(float);
  }
  return total;
}

}  // namespace headrace::worker
