#pragma once

#include "schemas/index_list.hpp"
#include "schemas/value_codec.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

/// Sizes of what a push block carries in each codec, and what `topk` values are made of.
namespace headrace::schemas {

/// Chosen values of `topk` that share one fp16 scale, and values of `int4` that do.
inline constexpr std::uint64_t topk_block = 256;
inline constexpr std::uint64_t int4_block = 32;
/// Bytes before the codes of a topk block: k, u32.
inline constexpr std::size_t topk_head_bytes = 4;

/// The parts of a topk block's values: k u32, then k codes i8, then where they belong
/// (index_list.hpp). A block of no values has no bytes and k = 0.
struct topk_values {
  std::span<const std::int8_t> codes;    // [k]
  std::span<const std::byte> positions;  // index_list_bytes(cells, k)
};

/// k as the bytes say it; 0 where there are too few.
inline std::uint32_t topk_chosen(std::span<const std::byte> values) {
  std::uint32_t chosen = 0;
  if (values.size() >= topk_head_bytes) std::memcpy(&chosen, values.data(), topk_head_bytes);
  return chosen;
}

/// `values` split. The caller has checked that their size is `value_layout_bytes`.
inline topk_values split_topk(std::span<const std::byte> values) {
  if (values.empty()) return {};
  const std::size_t k = topk_chosen(values);
  const auto codes = values.subspan(topk_head_bytes, k);
  return {{reinterpret_cast<const std::int8_t*>(codes.data()), k},
          values.subspan(topk_head_bytes + k)};
}

/// Number of fp16 scales of a block of rows × dim values, `chosen` of them in topk.
constexpr std::uint64_t value_layout_scales(value_codec codec,
                                            std::uint64_t rows,
                                            std::uint64_t dim,
                                            std::uint64_t chosen) {
  if (codec == value_codec::int8) return rows;
  if (codec == value_codec::topk) return (chosen + topk_block - 1) / topk_block;
  if (codec == value_codec::int4) return (rows * dim + int4_block - 1) / int4_block;
  return 0;
}

/// Bytes of its values. Requires rows <= 2^16 and dim < 2^32; for topk chosen <= rows × dim < 2^32.
constexpr std::uint64_t value_layout_bytes(value_codec codec,
                                           std::uint64_t rows,
                                           std::uint64_t dim,
                                           std::uint64_t chosen) {
  const std::uint64_t cells = rows * dim;
  if (codec == value_codec::topk)
    return cells == 0 ? 0 : topk_head_bytes + chosen + index_list_bytes(cells, chosen);
  if (codec == value_codec::int4) {
    const std::uint64_t rest = cells % int4_block;
    return cells / int4_block * (int4_block / 2) + (rest < int4_block / 2 ? rest : int4_block / 2);
  }
  return cells * value_bytes(codec);
}

}  // namespace headrace::schemas
