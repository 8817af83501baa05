#pragma once

#include "kernels/runtime/half.hpp"
#include "kernels/runtime/lane_team.hpp"
#include "kernels/runtime/value_format.hpp"

/// Four neighbouring columns of a row in any value_format, to and from f32, on a device.
namespace headrace::kernels::device {

HEADRACE_DEVICE float decoded(std::uint16_t bits, value_format format) {
  return format == value_format::fp16 ? half_to_float(bits) : brain_to_float(bits);
}

/// Columns of 16-bit values; `vectors`: the row is 8-byte aligned and dim a multiple of 4.
HEADRACE_DEVICE four_columns load_words(const std::uint16_t* row,
                                        std::uint32_t c,
                                        std::uint32_t dim,
                                        bool vectors,
                                        value_format format) {
  four_columns out = {{0.0F, 0.0F, 0.0F, 0.0F}};
  if (vectors) {
    if (c >= dim) return out;
    const std::uint64_t four = *reinterpret_cast<const std::uint64_t*>(row + c);
    HEADRACE_UNROLL
    for (unsigned j = 0; j < columns_a_lane; ++j) {
      out.at[j] = decoded(static_cast<std::uint16_t>(four >> 16 * j), format);
    }
    return out;
  }
  HEADRACE_UNROLL
  for (unsigned j = 0; j < columns_a_lane; ++j) {
    if (c + j < dim) out.at[j] = decoded(row[c + j], format);
  }
  return out;
}

/// Columns of int8 codes under `scale`; `vectors`: the row is 4-byte aligned and dim a multiple of
/// 4.
HEADRACE_DEVICE four_columns
load_codes(const std::int8_t* row, std::uint32_t c, std::uint32_t dim, bool vectors, float scale) {
  four_columns out = {{0.0F, 0.0F, 0.0F, 0.0F}};
  std::uint32_t word = 0;
  if (vectors && c < dim) word = *reinterpret_cast<const std::uint32_t*>(row + c);
  HEADRACE_UNROLL
  for (unsigned j = 0; j < columns_a_lane; ++j) {
    std::int8_t code = static_cast<std::int8_t>(word >> 8 * j & 0xFFU);
    if (!vectors) code = c + j < dim ? row[c + j] : std::int8_t{0};
    out.at[j] = static_cast<float>(code) * scale;
  }
  return out;
}

/// A row of `format` at `row`, its codes under `scale` (int8 only).
HEADRACE_DEVICE four_columns load_formatted(value_format format,
                                            const void* row,
                                            float scale,
                                            std::uint32_t c,
                                            std::uint32_t dim,
                                            bool vectors) {
  if (format == value_format::fp32) {
    return load_columns(static_cast<const float*>(row), c, dim, vectors);
  }
  if (format == value_format::int8) {
    return load_codes(static_cast<const std::int8_t*>(row), c, dim, vectors, scale);
  }
  return load_words(static_cast<const std::uint16_t*>(row), c, dim, vectors, format);
}

/// Columns as 16-bit values, to nearest (half.hpp).
HEADRACE_DEVICE void store_words(std::uint16_t* row,
                                 std::uint32_t c,
                                 std::uint32_t dim,
                                 bool vectors,
                                 value_format format,
                                 const four_columns& from) {
  std::uint64_t four = 0;
  HEADRACE_UNROLL
  for (unsigned j = 0; j < columns_a_lane; ++j) {
    const std::uint16_t bits =
        format == value_format::fp16 ? half_nearest(from.at[j]) : brain_nearest(from.at[j]);
    four |= std::uint64_t{bits} << 16 * j;
    if (!vectors && c + j < dim) row[c + j] = bits;
  }
  if (vectors && c < dim) *reinterpret_cast<std::uint64_t*>(row + c) = four;
}

}  // namespace headrace::kernels::device
