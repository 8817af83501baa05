#pragma once

#include "kernels/runtime/device.hpp"

#include <cstdint>

/// How blocks of a GPU share the slots of a cache: index arithmetic alone.
namespace headrace::kernels {

/// Slots that one warp takes at a time.
inline constexpr std::uint32_t decode_slots = 16;

/// Blocks that fill a GPU, and the fewest slots that are worth a block's merging: two passes of its
/// four warps. Constants, so that the same call gives the same bits on every device.
inline constexpr std::uint32_t decode_blocks = 512;
inline constexpr std::uint32_t decode_slots_least = 128;

/// Into how many pieces the slots of each key head are split, for `rows` key heads of all sequences
/// and at most `slots` slots: 1 to the most that leaves each piece its least.
HEADRACE_BOTH constexpr std::uint32_t decode_splits(std::uint64_t rows, std::uint64_t slots) {
  const std::uint64_t most = slots / decode_slots_least;
  const std::uint64_t wanted = rows == 0 ? 1 : (decode_blocks + rows - 1) / rows;
  const std::uint64_t splits = wanted < most ? wanted : most;
  return splits == 0 ? 1 : static_cast<std::uint32_t>(splits);
}

/// The slots [begin, end) of one head that one piece has.
struct slot_range {
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
};

/// Piece `nth` of `splits` of the slots [begin, end): whole multiples of decode_slots but for the
/// last, as even as that allows. Empty where begin >= end.
HEADRACE_BOTH constexpr slot_range split_slots(std::uint32_t begin,
                                               std::uint32_t end,
                                               std::uint32_t nth,
                                               std::uint32_t splits) {
  if (begin >= end) return {begin, begin};
  const std::uint64_t tiles = (end - begin + decode_slots - 1) / decode_slots;
  const auto first = static_cast<std::uint32_t>(tiles * nth / splits) * decode_slots;
  const auto last = static_cast<std::uint32_t>(tiles * (nth + 1) / splits) * decode_slots;
  return {begin + first, end - begin < last ? end : begin + last};
}

}  // namespace headrace::kernels
