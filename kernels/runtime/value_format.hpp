#pragma once

#include <cstddef>
#include <cstdint>

namespace headrace::kernels {

/// How the values of a row lie in memory. Numbers equal schemas::value_codec.
///
/// fp32 f32; int8 codes under one fp16 scale a row; fp16 and bf16 their 16 bits.
enum class value_format : std::uint8_t { fp32 = 0, int8 = 1, fp16 = 2, bf16 = 3 };

/// Bytes of one value, scales apart.
constexpr std::size_t value_bytes(value_format format) {
  if (format == value_format::fp32) return 4;
  return format == value_format::int8 ? 1 : 2;
}

}  // namespace headrace::kernels
