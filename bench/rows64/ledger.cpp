#include "bench/rows64/ledger.hpp"

#include "base/check.hpp"
#include "kernels/sparse_update/sparse_update.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace headrace::bench {
namespace {

constexpr std::uint32_t hottest_sampled = 16;
constexpr std::uint32_t sample_every = 64;

std::size_t total_rows(std::span<const row_batch> batches) {
  std::size_t rows = 0;
  for (const auto& batch : batches) rows += batch.rows();
  return rows;
}

/// Half a step of the largest element's scale, and the rounding of the scale itself to fp16.
float int8_tolerance(std::span<const float> row) {
  float largest = 0.0F;
  for (const float value : row) largest = std::max(largest, std::fabs(value));
  return largest / 127.0F * 0.5F * (1.0F + 0x1.0p-9F);
}

/// How far `want` may be from the value in the codec: half a step of it.
float tolerance(float want, std::span<const float> row, schemas::value_codec codec) {
  switch (codec) {
    case schemas::value_codec::fp32:
      return 0.0F;
    case schemas::value_codec::int8:
      return int8_tolerance(row);
    case schemas::value_codec::fp16:
      return std::fabs(want) * 0x1.0p-11F;
    case schemas::value_codec::bf16:
      return std::fabs(want) * 0x1.0p-8F;
    default:  // not of pulls
      break;
  }
  return 0.0F;
}

}  // namespace

schemas::optimizer_spec rows64_optimizer(schemas::optimizer_kind kind) {
  schemas::optimizer_spec spec;
  spec.kind = kind;
  spec.first_order_columns = 0;
  return spec;
}

ledger::ledger(std::span<const row_batch> prefill,
               std::span<const row_batch> pool,
               const schemas::optimizer_spec& optimizer)
    : prefill_(prefill), pool_(pool), optimizer_(optimizer) {}

bool ledger::sampled(std::uint32_t rank) const {
  return optimizer_.kind == schemas::optimizer_kind::add || rank <= hottest_sampled ||
         rank % sample_every == 0;
}

void ledger::close() {
  CHECK(rows_.empty());
  const bool add = optimizer_.kind == schemas::optimizer_kind::add;
  floats_per_row_ = add ? row_dim : 2 * row_dim;
  rows_.assign((total_rows(prefill_) + 1) * floats_per_row_, 0.0F);
  if (add) return add_up();
  for (std::size_t at = 0; at < rows_.size(); at += floats_per_row_) {
    std::fill_n(rows_.begin() + static_cast<std::ptrdiff_t>(at + row_dim),
                row_dim,
                optimizer_.initial_accumulator);
  }
  for (const auto& batch : prefill_) redo(batch);
  for (const auto push : pushes_) redo(pool_[push]);
}

void ledger::add_up() {
  const auto add = [this](const row_batch& batch, float times) {
    for (std::size_t i = 0; i < batch.rows(); ++i) {
      float* to = rows_.data() + batch.ranks[i] * row_dim;
      const auto from = batch.row(i);
      for (std::size_t c = 0; c < row_dim; ++c) to[c] += times * from[c];
    }
  };
  for (const auto& batch : prefill_) add(batch, 1.0F);
  std::vector<std::uint32_t> times(pool_.size(), 0);
  for (const auto push : pushes_) ++times[push];
  for (std::size_t i = 0; i < pool_.size(); ++i) {
    if (times[i] != 0) add(pool_[i], static_cast<float>(times[i]));
  }
}

void ledger::redo(const row_batch& batch) {
  std::vector<float*> rows;
  std::vector<float> gradients;
  for (std::size_t i = 0; i < batch.rows(); ++i) {
    if (!sampled(batch.ranks[i])) continue;
    rows.push_back(rows_.data() + batch.ranks[i] * floats_per_row_);
    const auto values = batch.row(i);
    gradients.insert(gradients.end(), values.begin(), values.end());
  }
  kernels::sparse_update_args args;
  args.rows = rows;
  args.dim = row_dim;
  args.gradients = gradients;
  args.rule = static_cast<kernels::update_rule>(optimizer_.kind);
  args.rate = optimizer_.rate;
  args.l2 = optimizer_.l2;
  args.clip = optimizer_.gradient_clip;
  kernels::sparse_update_ref(args);
}

result<void> ledger::check(const row_batch& batch,
                           std::span<const float> rows,
                           schemas::value_codec codec) {
  CHECK(rows.size() == batch.rows() * row_dim);
  for (std::size_t i = 0; i < batch.rows(); ++i) {
    if (!sampled(batch.ranks[i])) continue;
    const std::span<const float> want(rows_.data() + batch.ranks[i] * floats_per_row_, row_dim);
    for (std::size_t c = 0; c < row_dim; ++c) {
      const float got = rows[i * row_dim + c];
      if (std::fabs(got - want[c]) <= tolerance(want[c], want, codec)) continue;
      return error{errc::corrupt,
                   "row " + std::to_string(batch.keys[i]) + " column " + std::to_string(c) +
                       " holds " + std::to_string(got) + ", pushed were " +
                       std::to_string(want[c])};
    }
    ++checked_;
  }
  return {};
}

}  // namespace headrace::bench
