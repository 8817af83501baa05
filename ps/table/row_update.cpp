#include "ps/table/row_update.hpp"

#include "kernels/sparse_update/sparse_update.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

namespace headrace::ps {
namespace {

using schemas::optimizer_kind;
static_assert(static_cast<int>(kernels::update_rule::add) == static_cast<int>(optimizer_kind::add));
static_assert(static_cast<int>(kernels::update_rule::sgd) == static_cast<int>(optimizer_kind::sgd));
static_assert(static_cast<int>(kernels::update_rule::adagrad) ==
              static_cast<int>(optimizer_kind::adagrad));

// Rows found before they are updated: their headers are still in the first-level cache by then, and
// the pipeline of prefetches is seldom drained (ps/shard/shard.bench.cpp).
constexpr std::size_t chunk_rows = 512;

void touch(row_header& row, std::uint32_t occurrences, lsn at, std::uint64_t stamp_ms) {
  row.lsn = at.value;
  row.last_seen_ms = stamp_ms;
  row.count = occurrences > UINT32_MAX - row.count ? UINT32_MAX : row.count + occurrences;
}

/// The step on rows [first, first + rows.size()) of the block.
void step(const schemas::table_spec& spec,
          const schemas::row_block& block,
          std::size_t first,
          std::span<float* const> rows) {
  kernels::sparse_update_args args;
  args.rows = rows;
  args.dim = spec.dim;
  if (block.codec == schemas::value_codec::int8) {
    args.codes = block.int8_codes().subspan(first * spec.dim, rows.size() * spec.dim);
    args.scales = block.scales.subspan(first, rows.size());
  } else {
    args.gradients = block.fp32_values().subspan(first * spec.dim, rows.size() * spec.dim);
  }
  args.rule = static_cast<kernels::update_rule>(spec.optimizer.kind);
  args.rate = spec.optimizer.rate;
  args.first_rate = spec.optimizer.first_rate;
  args.first_columns = spec.optimizer.first_order_columns;
  args.l2 = spec.optimizer.l2;
  args.clip = spec.optimizer.gradient_clip;
  kernels::sparse_update(args);
}

}  // namespace

void update_rows(table& rows, const schemas::row_block& block, lsn at, std::uint64_t stamp_ms) {
  std::array<row_header*, chunk_rows> headers;
  std::array<float*, chunk_rows> values;
  for (std::size_t begin = 0; begin < block.keys.size(); begin += chunk_rows) {
    const std::size_t size = std::min(chunk_rows, block.keys.size() - begin);
    rows.find_or_make(block.keys.subspan(begin, size), std::span(headers).first(size));
    const auto older = [&](std::size_t i) { return headers[i]->lsn < at.value; };
    for (std::size_t i = 0; i < size;) {
      const std::size_t first = i;
      for (; i < size && older(i); ++i) {
        touch(*headers[i], block.counts.empty() ? 1 : block.counts[begin + i], at, stamp_ms);
        values[i] = table::floats(headers[i]);
      }
      if (i > first)
        step(rows.spec(), block, begin + first, std::span(values).subspan(first, i - first));
      while (i < size && !older(i)) ++i;
    }
  }
}

}  // namespace headrace::ps
