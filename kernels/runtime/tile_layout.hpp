#pragma once

#include "kernels/runtime/device.hpp"

#include <cstdint>

/// How tiles of 16-bit elements lie in shared memory for the matrix units of sm_90a, and the
/// descriptor that tells them so (PTX ISA, "asynchronous warpgroup level matrix instructions").
///
/// A tile is strips of 64 elements in the direction that is contiguous in memory: a strip's line is
/// 128 bytes, its lines follow one another, and it begins at a multiple of 1,024 bytes. Within each
/// 8 lines the eight 16-byte pieces of a line are swapped by the line's number (swizzled_128), as
/// the copy engine writes them: eight lines' same pieces then lie in different banks.
///
/// A product's operand is seen as [mn, k]: mn is a row of the left operand or a column of the right
/// one. Along k (operand_major::k) a strip's lines are mn's and its elements k's: one strip is 64 k
/// deep. Along mn (operand_major::mn) lines are k's and elements mn's: one strip is 64 mn wide.
namespace headrace::kernels {

enum class operand_major : unsigned { k = 0, mn = 1 };

constexpr std::uint32_t line_bytes = 128;
constexpr std::uint32_t line_elements = line_bytes / 2;
constexpr std::uint32_t group_lines = 8;
constexpr std::uint32_t group_bytes = group_lines * line_bytes;  // the swizzle repeats

/// Where in shared memory the byte lies that would be at `address` without the swizzle.
HEADRACE_BOTH constexpr std::uint32_t swizzled_128(std::uint32_t address) {
  return address ^ (address >> 3 & 0x70);
}

/// What a descriptor says, in bytes.
struct operand_place {
  std::uint32_t start = 0;    // shared address, a multiple of 16 below 2^18
  std::uint32_t leading = 0;  // along mn: from one strip to the next; along k unused
  std::uint32_t stride = 0;   // from 8 lines to the next 8
  std::uint32_t swizzle = 0;  // 0 none, 1 of 128 bytes, 2 of 64, 3 of 32
  std::uint32_t base = 0;     // base offset: 0 where strips begin at multiples of 1,024 bytes
  bool operator==(const operand_place&) const = default;
};

/// The 64 bits of wgmma's matrix descriptor: start 0-13, leading 16-29, stride 32-45, in 16 bytes;
/// base offset 49-51; swizzle 62-63.
HEADRACE_BOTH constexpr std::uint64_t descriptor_of(const operand_place& place) {
  constexpr std::uint64_t field = 0x3FFF;
  return (place.start / 16 & field) | (place.leading / 16 & field) << 16 |
         (place.stride / 16 & field) << 32 | std::uint64_t{place.base & 7} << 49 |
         std::uint64_t{place.swizzle & 3} << 62;
}

HEADRACE_BOTH constexpr operand_place place_of(std::uint64_t descriptor) {
  constexpr std::uint64_t field = 0x3FFF;
  return {static_cast<std::uint32_t>(descriptor & field) * 16,
          static_cast<std::uint32_t>(descriptor >> 16 & field) * 16,
          static_cast<std::uint32_t>(descriptor >> 32 & field) * 16,
          static_cast<std::uint32_t>(descriptor >> 62 & 3),
          static_cast<std::uint32_t>(descriptor >> 49 & 7)};
}

/// The descriptor of an operand whose first strip begins at shared address `start` and whose strips
/// are `strip_bytes` apart (along mn; along k an operand of one instruction is within one strip).
HEADRACE_BOTH constexpr std::uint64_t operand_descriptor(std::uint32_t start,
                                                         std::uint32_t strip_bytes) {
  return descriptor_of({start, strip_bytes, group_bytes, 1, 0});
}

/// How far, in bytes, the operand of the next 16 k's begins after that of the last 16.
HEADRACE_BOTH constexpr std::uint32_t next_depth_bytes(operand_major major) {
  return major == operand_major::k ? 16 * 2 : 16 * line_bytes;
}

/// The shared address of element (mn, k) of one instruction's operand, k below 16: what the matrix
/// units make of a descriptor with the swizzle of 128 bytes.
HEADRACE_BOTH constexpr std::uint32_t address_of(const operand_place& place,
                                                 operand_major major,
                                                 std::uint32_t mn,
                                                 std::uint32_t k) {
  if (major == operand_major::k) {
    return swizzled_128(place.start + mn / group_lines * place.stride +
                        mn % group_lines * line_bytes + k * 2);
  }
  return swizzled_128(place.start + mn / line_elements * place.leading + mn % line_elements * 2 +
                      k / group_lines * place.stride + k % group_lines * line_bytes);
}

/// Element (row, column) of warpgroup accumulators [64, n]: which of a thread's n / 2 values holds
/// what. Value i of a thread is in row accumulator_row, column accumulator_column.
HEADRACE_BOTH constexpr std::uint32_t accumulator_row(std::uint32_t thread, std::uint32_t i) {
  return thread / 32 * 16 + thread % 32 / 4 + i % 4 / 2 * 8;
}
HEADRACE_BOTH constexpr std::uint32_t accumulator_column(std::uint32_t thread, std::uint32_t i) {
  return i / 4 * 8 + thread % 4 * 2 + i % 2;
}

}  // namespace headrace::kernels
