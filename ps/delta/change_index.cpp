#include "ps/delta/change_index.hpp"

#include "base/check.hpp"
#include "kernels/runtime/half.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace headrace::ps {
namespace {

/// max |gradient| of a row, where the codec tells it at little cost; else 0.
float gradient_size(const schemas::row_block& block, std::size_t row) {
  if (block.codec == schemas::value_codec::int8)
    return 127.0F * kernels::half_to_float(block.scales[row]);
  if (block.codec != schemas::value_codec::fp32) return 0.0F;
  const float* values = reinterpret_cast<const float*>(block.values.data()) + row * block.dim;
  float most = 0.0F;
  for (std::size_t i = 0; i < block.dim; ++i) most = std::max(most, std::fabs(values[i]));
  return most;
}

}  // namespace

change_index::change_index(std::vector<std::size_t> row_bytes, std::size_t fold_rows)
    : row_bytes_(std::move(row_bytes)), fold_rows_(fold_rows), told_(row_bytes_.size()) {}

void change_index::updated(const schemas::row_block& block, const row_admissions& admitted) {
  if (feeds_.empty()) return;
  told& to = told_[block.table.value];
  const std::size_t before = to.rows.size();
  for (std::size_t i = 0; i < block.keys.size(); ++i) {
    if (!admitted.all() && !admitted[i]) continue;
    to.rows.push_back({.key = block.keys[i], .size = gradient_size(block, i)});
  }
  rows_ += to.rows.size() - before;
  end_run(to);
}

void change_index::removed(table_id table, std::span<const std::uint64_t> keys) {
  if (feeds_.empty()) return;
  told& to = told_[table.value];
  for (const std::uint64_t key : keys)
    to.rows.push_back({.key = key, .size = std::numeric_limits<float>::max()});
  rows_ += keys.size();
  end_run(to);
  if (rows_ >= fold_rows_) fold();  // a sweep finds them without a record
}

void change_index::end_run(told& of) {
  if (of.rows.size() > (of.ends.empty() ? 0 : of.ends.back())) of.ends.push_back(of.rows.size());
}

void change_index::applied(lsn at, std::uint64_t version) {
  head_.lsn = at;
  head_.version = version;
  if (rows_ >= fold_rows_) fold();
}

void change_index::fold() {
  for (std::size_t i = 0; i < told_.size(); ++i) {
    told& of = told_[i];
    if (of.rows.empty()) continue;
    merge_runs(of.rows, std::move(of.ends));
    const table_id table{static_cast<std::uint32_t>(i)};
    for (delta_feed& feed : feeds_) feed.absorb(table, of.rows);
    of.rows.clear();
    of.ends.clear();
  }
  rows_ = 0;
}

delta_feed& change_index::open(std::uint64_t session, const feed_limits& limits) {
  fold();  // what came before is in the rows that the session begins with
  return feeds_.emplace_back(session, row_bytes_, limits);
}

void change_index::close(const delta_feed& feed) {
  const auto at = std::ranges::find_if(feeds_, [&](const auto& each) { return &each == &feed; });
  CHECK(at != feeds_.end());
  feeds_.erase(at);
  if (feeds_.empty()) fold();
}

std::optional<delta_plan> change_index::plan(delta_feed& feed,
                                             std::uint64_t accepted_ms,
                                             bool beat) {
  fold();
  head_.accepted_ms = std::max(head_.accepted_ms, accepted_ms);
  return feed.plan(head_, beat);
}

}  // namespace headrace::ps
