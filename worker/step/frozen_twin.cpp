#include "worker/step/frozen_twin.hpp"

#include "base/byte_io.hpp"
#include "base/check.hpp"
#include "kernels/init_rows/init_rows.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::uint64_t saved_version = 1;

}  // namespace

frozen_twin::frozen_twin(const schemas::job_schema& schema) {
  for (const auto& spec : schema.tables) tables_.push_back({spec, {}, {}, {}});
}

void frozen_twin::note(std::span<const row_set> sets) {
  for (const row_set& set : sets) {
    key_index& seen = tables_[set.table.value].seen;
    for (std::size_t i = 0; i < set.keys.size(); ++i) {
      seen.prefetch(set.keys, i);
      seen.insert(set.keys[i]);
    }
  }
}

std::vector<row_set> frozen_twin::noted(std::size_t rows_max) const {
  std::vector<row_set> chunks;
  for (const table_copy& table : tables_) {
    std::vector<std::uint64_t> keys(table.seen.keys().begin(), table.seen.keys().end());
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
  CHECK(pulled.dim == table.spec.dim);
  for (std::size_t i = 0; i < pulled.rows(); ++i) {
    if (!table.kept.insert(pulled.keys[i]).second) continue;
    const auto from = pulled.values.begin() + static_cast<std::ptrdiff_t>(i * pulled.dim);
    table.values.insert(table.values.end(), from, from + static_cast<std::ptrdiff_t>(pulled.dim));
  }
}

void frozen_twin::freeze() {
  frozen_ = true;
  for (table_copy& table : tables_) table.seen = {};
}

void frozen_twin::rows_of(const row_set& set, std::vector<float>& values) const {
  const table_copy& table = tables_[set.table.value];
  values.resize(set.rows() * set.dim);
  for (std::size_t i = 0; i < set.rows(); ++i) {
    const std::span<float> row(&values[i * set.dim], set.dim);
    table.kept.prefetch(set.keys, i);
    const std::uint32_t kept = table.kept.find(set.keys[i]);
    if (kept != key_index::absent) {
      std::memcpy(row.data(), &table.values[kept * set.dim], row.size_bytes());
    } else {
      kernels::init_rows({.keys = std::span(&set.keys[i], 1),
                          .seed = table.spec.init.seed,
                          .scale = table.spec.init.scale,
                          .first_order_columns = table.spec.optimizer.first_order_columns,
                          .dim = set.dim,
                          .values = row,
                          .rows = {}});
    }
  }
}

// Version and number of tables; for each its dim, number of rows, keys and values.
std::vector<std::byte> frozen_twin::save() const {
  CHECK(frozen_);
  byte_writer out;
  out.number(saved_version);
  out.number(std::uint64_t{tables_.size()});
  for (const table_copy& table : tables_) {
    out.number(std::uint64_t{table.spec.dim});
    out.number(std::uint64_t{table.kept.size()});
    out.numbers(table.kept.keys());
    out.numbers(std::span<const float>(table.values));
  }
  return out.take();
}

result<void> frozen_twin::load(std::span<const std::byte> bytes) {
  const error corrupt{errc::corrupt, "the saved twin cannot be read, or is of other tables"};
  byte_reader in(bytes);
  if (in.number<std::uint64_t>() != saved_version) return corrupt;
  if (in.number<std::uint64_t>() != tables_.size()) return corrupt;
  std::vector<table_copy> read;
  for (const table_copy& table : tables_) {
    table_copy copy{table.spec, {}, {}, {}};
    const auto dim = in.number<std::uint64_t>();
    const auto rows = in.number<std::uint64_t>();
    const std::size_t row_bytes = sizeof(std::uint64_t) + table.spec.dim * sizeof(float);
    if (!in.ok() || dim != table.spec.dim || rows > in.left() / row_bytes) return corrupt;
    std::vector<std::uint64_t> keys(rows);
    copy.values.resize(rows * table.spec.dim);
    in.numbers(std::span(keys));
    in.numbers(std::span(copy.values));
    for (const std::uint64_t key : keys) {
      if (!copy.kept.insert(key).second) return corrupt;
    }
    const bool finite = std::all_of(
        copy.values.begin(), copy.values.end(), [](float v) { return std::isfinite(v); });
    if (!finite) return corrupt;
    read.push_back(std::move(copy));
  }
  if (!in.at_end()) return corrupt;
  tables_ = std::move(read);
  frozen_ = true;
  return {};
}

std::size_t frozen_twin::rows() const {
  std::size_t total = 0;
  for (const table_copy& table : tables_) total += table.kept.size();
  return total;
}

std::size_t frozen_twin::bytes() const {
  std::size_t total = 0;
  for (const table_copy& table : tables_) {
    total += table.kept.bytes() + table.seen.bytes() + table.values.capacity() * sizeof(float);
  }
  return total;
}

}  // namespace headrace::worker
