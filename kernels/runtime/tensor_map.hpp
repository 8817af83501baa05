#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

/// What the copy engine of sm_90 knows of a tensor: made on the host (tensor_map_cuda.hpp, or
/// emulated_map), given to a kernel by value within a HEADRACE_GRID_CONSTANT parameter.
namespace headrace::kernels {

/// A tensor of 16-bit elements in global memory, [slices, lines, columns], columns contiguous, and
/// the box of it that one load brings: `box_lines` lines of 64 columns of one slice, each line 128
/// bytes, swizzled (tile_layout.hpp). What lies outside of the tensor arrives as zeros, and counts
/// as bytes that arrive.
struct tensor_tiles {
  const void* base = nullptr;     // a multiple of 16
  std::uint64_t columns = 0;      // all of 1 to 2^32
  std::uint64_t lines = 0;        //
  std::uint64_t slices = 1;       //
  std::uint64_t line_pitch = 0;   // bytes, multiples of 16, below 2^40
  std::uint64_t slice_pitch = 0;  // of one slice not looked at
  std::uint32_t box_lines = 0;    // 1 to 256
};

/// What cuTensorMapEncodeTiled would refuse; null for what it takes.
inline const char* fault_in(const tensor_tiles& tiles) {
  constexpr std::uint64_t most = std::uint64_t{1} << 32;
  constexpr std::uint64_t farthest = std::uint64_t{1} << 40;
  if (tiles.base == nullptr || reinterpret_cast<std::uintptr_t>(tiles.base) % 16 != 0) {
    return "memory: aligned to 16 bytes";
  }
  if (tiles.columns < 1 || tiles.columns > most) return "columns: 1 to 2^32";
  if (tiles.lines < 1 || tiles.lines > most) return "lines: 1 to 2^32";
  if (tiles.slices < 1 || tiles.slices > most) return "slices: 1 to 2^32";
  if (tiles.line_pitch % 16 != 0 || tiles.line_pitch >= farthest) {
    return "bytes from line to line: a multiple of 16 below 2^40";
  }
  if (tiles.slice_pitch % 16 != 0 || tiles.slice_pitch >= farthest) {
    return "bytes from slice to slice: a multiple of 16 below 2^40";
  }
  if (tiles.line_pitch < tiles.columns * 2) return "bytes from line to line: a line at least";
  if (tiles.slices > 1 && tiles.slice_pitch < tiles.lines * tiles.line_pitch) {
    return "bytes from slice to slice: a slice at least";
  }
  return tiles.box_lines < 1 || tiles.box_lines > 256 ? "lines of a box: 1 to 256" : nullptr;
}

/// The driver's CUtensorMap, as bytes; in emulation a tensor_tiles is in it.
struct alignas(64) tensor_map {
  std::byte bytes[128];
};
static_assert(sizeof(tensor_tiles) <= sizeof(tensor_map));

inline tensor_map emulated_map(const tensor_tiles& tiles) {
  tensor_map map{};
  std::memcpy(map.bytes, &tiles, sizeof(tiles));
  return map;
}

}  // namespace headrace::kernels
