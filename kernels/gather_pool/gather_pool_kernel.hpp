#pragma once

#include "kernels/gather_pool/segments.hpp"
#include "kernels/runtime/row_formats.hpp"

#include <cstdint>

/// Pooling of rows into bags on a device (gather_pool.hpp has the maths): a team of lanes a bag, in
/// the order and with the bits of the CPU.
namespace headrace::kernels::device {

struct gather_pool_view {
  const void* rows;              // [u, dim] in the kernel's format
  const std::uint16_t* scales;   // [u] for int8
  const std::uint32_t* inverse;  // [n] < u
  const float* weights;          // [n], or null: all 1
  const std::uint32_t* offsets;  // [bags + 1]
  float* out;                    // [bags, dim]
  std::uint32_t bags;
  std::uint32_t dim;
  bool vectors;
};

HEADRACE_DEVICE float weight_of(const float* weights, std::uint32_t i) {
  return weights == nullptr ? 1.0F : weights[i];
}

/// sum += weight * values, rounded twice.
HEADRACE_DEVICE void add_weighted(four_columns& sum, float weight, const four_columns& values) {
  HEADRACE_UNROLL
  for (unsigned j = 0; j < columns_a_lane; ++j) sum.at[j] = sum.at[j] + weight * values.at[j];
}

/// Four columns of the row of occurrence i.
template <value_format Format>
HEADRACE_DEVICE four_columns load_occurrence(const gather_pool_view& view,
                                             std::uint32_t i,
                                             std::uint32_t c) {
  const std::uint64_t row = view.inverse[i];
  const float scale = Format == value_format::int8 ? half_to_float(view.scales[row]) : 0.0F;
  const auto* at = static_cast<const std::byte*>(view.rows) + row * view.dim * value_bytes(Format);
  return load_formatted(Format, at, scale, c, view.dim, view.vectors);
}

/// Occurrences whose rows are on their way at a time: enough loads in flight to hide their way.
constexpr unsigned rows_in_flight = 4;

template <value_format Format>
HEADRACE_DEVICE four_columns
pooled(const gather_pool_view& view, std::uint32_t begin, std::uint32_t end, std::uint32_t c) {
  four_columns sum = {{0.0F, 0.0F, 0.0F, 0.0F}};
  std::uint32_t i = begin;
  for (; end - i >= rows_in_flight; i += rows_in_flight) {
    four_columns values[rows_in_flight];
    float weights[rows_in_flight];
    HEADRACE_UNROLL
    for (unsigned k = 0; k < rows_in_flight; ++k) {
      values[k] = load_occurrence<Format>(view, i + k, c);
      weights[k] = weight_of(view.weights, i + k);
    }
    HEADRACE_UNROLL
    for (unsigned k = 0; k < rows_in_flight; ++k) add_weighted(sum, weights[k], values[k]);
  }
  for (; i < end; ++i) {
    add_weighted(sum, weight_of(view.weights, i), load_occurrence<Format>(view, i, c));
  }
  return sum;
}

template <value_format Format>
HEADRACE_KERNEL void gather_pool_kernel(gather_pool_view view) {
  const unsigned lanes = team_lanes(view.dim);
  const std::uint64_t bag = team_row(lanes);
  if (bag >= view.bags) return;
  const std::uint32_t begin = view.offsets[bag];
  const std::uint32_t end = view.offsets[bag + 1];
  float* out = view.out + bag * view.dim;
  for (std::uint32_t c = first_column(lanes); c < view.dim; c += lanes * columns_a_lane) {
    store_columns(out, c, view.dim, view.vectors, pooled<Format>(view, begin, end, c));
  }
}

}  // namespace headrace::kernels::device
