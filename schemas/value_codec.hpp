#pragma once

#include <cstdint>
#include <string_view>

namespace headrace::schemas {

/// How row values travel, and how a table's weights lie at rest. Numbers are frozen.
///
/// fp32 [dim] f32; int8 [dim] codes with one fp16 scale a row; fp16 and bf16 [dim] 16-bit values.
/// Pushes only, over all values of a block: topk, the largest in int8, and int4, all of them
/// (schemas/value_layout.hpp).
enum class value_codec : std::uint8_t {
  fp32 = 0,
  int8 = 1,
  fp16 = 2,
  bf16 = 3,
  topk = 4,
  int4 = 5
};
/// As job files spell it.
std::string_view name(value_codec codec);

/// True where each row has its own values: what pulls and tables know.
constexpr bool is_row_codec(value_codec codec) { return codec <= value_codec::bf16; }

/// Bytes of one value of a row codec, scales apart.
constexpr std::uint32_t value_bytes(value_codec codec) {
  if (codec == value_codec::fp32) return 4;
  return codec == value_codec::int8 ? 1 : 2;
}

}  // namespace headrace::schemas
