#include "ps/table/decoded_rows.hpp"

#include "base/check.hpp"
#include "kernels/block_int4/block_int4.hpp"
#include "kernels/error_feedback/error_feedback.hpp"
#include "kernels/runtime/half.hpp"

#include <algorithm>
#include <numeric>

namespace headrace::ps {
namespace {

using schemas::value_codec;

static_assert(kernels::int4_block == schemas::int4_block);
static_assert(kernels::sparse_block == schemas::topk_block);
static_assert(kernels::int4_bytes(77) == schemas::value_layout_bytes(value_codec::int4, 7, 11, 0));

// 64 KiB: stays in the second-level cache, below what malloc maps anew.
constexpr std::size_t floats_max = 16'384;

/// The most rows within floats_max whose values are whole blocks of int4.
std::size_t stretch_rows(std::size_t dim) {
  const std::size_t unit = schemas::int4_block / std::gcd(schemas::int4_block, dim);
  return std::max<std::size_t>(floats_max / dim / unit, 1) * unit;
}

}  // namespace

decoded_rows::decoded_rows(const schemas::row_block& block)
    : block_(block), rows_max_(block.dim == 0 ? 1 : stretch_rows(block.dim)) {
  CHECK(!schemas::is_row_codec(block.codec));
  values_.resize(rows_from(0) * block.dim);
  if (block.codec != value_codec::topk) return;
  chosen_ = schemas::split_topk(block.values);
  indices_.resize(chosen_.codes.size());
  CHECK(schemas::unpack_indices(chosen_.positions, block.cells(), indices_));
}

std::size_t decoded_rows::rows_from(std::size_t begin) const {
  return std::min(rows_max_, block_.keys.size() - begin);
}

schemas::row_block decoded_rows::take(std::size_t begin) {
  const std::size_t rows = rows_from(begin);
  const std::size_t first = begin * block_.dim;
  const auto values = std::span(values_).first(rows * block_.dim);
  if (block_.codec == value_codec::topk) {
    decode_topk(first, values);
  } else {
    decode_int4(first, values);
  }
  schemas::row_block part = block_;
  part.codec = value_codec::fp32;
  part.keys = block_.keys.subspan(begin, rows);
  part.counts = block_.counts.empty() ? block_.counts : block_.counts.subspan(begin, rows);
  part.scales = {};
  part.values = std::as_bytes(values);
  return part;
}

void decoded_rows::decode_topk(std::size_t first, std::span<float> values) {
  std::fill(values.begin(), values.end(), 0.0F);
  for (; next_ < indices_.size() && indices_[next_] < first + values.size(); ++next_) {
    const float scale = kernels::half_to_float(block_.scales[next_ / schemas::topk_block]);
    values[indices_[next_] - first] = static_cast<float>(chosen_.codes[next_]) * scale;
  }
}

void decoded_rows::decode_int4(std::size_t first, std::span<float> values) const {
  const auto* codes = reinterpret_cast<const std::uint8_t*>(block_.values.data());
  kernels::decode_int4({.codes = {codes + first / 2, kernels::int4_bytes(values.size())},
                        .scales = block_.scales.subspan(first / schemas::int4_block,
                                                        kernels::int4_scales(values.size())),
                        .values = values});
}

}  // namespace headrace::ps
