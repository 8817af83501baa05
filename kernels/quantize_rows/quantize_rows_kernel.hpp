#pragma once

#include "kernels/quantize_rows/row_scale.hpp"
#include "kernels/runtime/half.hpp"
#include "kernels/runtime/row_formats.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

/// The row codec on a device (quantize_rows.hpp has the maths): a team of lanes a row, the same
/// bits as on the CPU.
namespace headrace::kernels::device {

struct quantize_rows_view {
  const float* values;    // [rows, dim]
  std::int8_t* codes;     // [rows, dim]
  std::uint16_t* scales;  // [rows]
  std::uint32_t rows;
  std::uint32_t dim;
  bool vectors;  // values 16-byte, codes 4-byte aligned, dim a multiple of 4
};

HEADRACE_DEVICE float largest_of(const four_columns& values, float before) {
  HEADRACE_UNROLL
  for (unsigned j = 0; j < columns_a_lane; ++j) {
    const float m = magnitude(values.at[j]);
    before = m > before ? m : before;
  }
  return before;
}

/// 1 / scale, 0 for scale 0.
HEADRACE_DEVICE float code_factor(std::uint16_t scale) {
  return scale == 0 ? 0.0F : 1.0F / half_to_float(scale);
}

HEADRACE_DEVICE std::int8_t code_of(float value, float factor) {
  const float steps = value * factor;
  return static_cast<std::int8_t>(::rintf(std::clamp(steps, -127.0F, 127.0F)));
}

HEADRACE_DEVICE void store_codes(std::int8_t* row,
                                 std::uint32_t c,
                                 std::uint32_t dim,
                                 bool vectors,
                                 const four_columns& values,
                                 float factor) {
  std::uint32_t word = 0;
  HEADRACE_UNROLL
  for (unsigned j = 0; j < columns_a_lane; ++j) {
    const std::int8_t code = code_of(values.at[j], factor);
    word |= std::uint32_t{static_cast<std::uint8_t>(code)} << 8 * j;
    if (!vectors && c + j < dim) row[c + j] = code;
  }
  if (vectors && c < dim) *reinterpret_cast<std::uint32_t*>(row + c) = word;
}

/// Rows of at most 128 * Steps columns stay in registers between the scale and the codes; Steps 0:
/// any width, each value is read twice.
template <unsigned Steps>
HEADRACE_KERNEL void quantize_rows_kernel(quantize_rows_view view) {
  const unsigned lanes = team_lanes(view.dim);
  const std::uint64_t row = team_row(lanes);
  const bool here = row < view.rows;
  const std::uint32_t width = here ? view.dim : 0;  // no columns beyond the last row
  const std::uint64_t at = here ? row * view.dim : 0;
  const std::uint32_t first = first_column(lanes);
  const std::uint32_t stride = lanes * columns_a_lane;

  four_columns kept[Steps == 0 ? 1 : Steps];
  float largest = 0.0F;
  if constexpr (Steps == 0) {
    for (std::uint32_t c = first; c < width; c += stride) {
      largest = largest_of(load_columns(view.values + at, c, width, view.vectors), largest);
    }
  } else {
    HEADRACE_UNROLL
    for (unsigned i = 0; i < Steps; ++i) {
      kept[i] = load_columns(view.values + at, first + i * stride, width, view.vectors);
      largest = largest_of(kept[i], largest);
    }
  }
  const std::uint16_t scale = row_scale(team_max(largest, lanes));
  const float factor = code_factor(scale);
  if (here && first == 0) view.scales[row] = scale;
  if constexpr (Steps == 0) {
    for (std::uint32_t c = first; c < width; c += stride) {
      const four_columns values = load_columns(view.values + at, c, width, view.vectors);
      store_codes(view.codes + at, c, width, view.vectors, values, factor);
    }
  } else {
    HEADRACE_UNROLL
    for (unsigned i = 0; i < Steps; ++i) {
      store_codes(view.codes + at, first + i * stride, width, view.vectors, kept[i], factor);
    }
  }
}

struct dequantize_rows_view {
  const std::int8_t* codes;     // [rows, dim]
  const std::uint16_t* scales;  // [rows]
  float* values;                // [rows, dim]
  std::uint32_t rows;
  std::uint32_t dim;
  bool vectors;
};

HEADRACE_KERNEL void dequantize_rows_kernel(dequantize_rows_view view) {
  const unsigned lanes = team_lanes(view.dim);
  const std::uint64_t row = team_row(lanes);
  if (row >= view.rows) return;
  const float scale = half_to_float(view.scales[row]);
  const std::uint64_t at = row * view.dim;
  for (std::uint32_t c = first_column(lanes); c < view.dim; c += lanes * columns_a_lane) {
    const four_columns values = load_codes(view.codes + at, c, view.dim, view.vectors, scale);
    store_columns(view.values + at, c, view.dim, view.vectors, values);
  }
}

}  // namespace headrace::kernels::device
