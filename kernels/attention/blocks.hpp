#pragma once

#include <cstddef>
#include <cstdint>

/// Sizes of the CPU kernels' tiles, and of the memory they need.
namespace headrace::kernels {

/// Keys and queries of a tile. Results depend on the keys by rounding, not on the queries. Measured
/// by the bench on a shared machine: 32 keys a tenth slower, 128 no different beyond its noise.
constexpr std::size_t attention_keys = 64;
constexpr std::size_t attention_queries = 64;
constexpr std::size_t attention_lanes_max = 16;
/// Floats from one row of a backward tile to the next: rows a line apart in the cache's sets.
constexpr std::size_t attention_row = attention_queries + 16;
/// Room for a strip of i - j over a tile, in whole vectors.
constexpr std::size_t attention_strip = attention_keys + attention_queries + attention_lanes_max;

/// Hands out pieces of a workspace, each from a 64-byte line on.
class workspace_cutter {
 public:
  static constexpr std::size_t line = 16;
  static constexpr std::size_t padded(std::size_t n) { return (n + line - 1) / line * line; }

  explicit workspace_cutter(float* begin) {
    const auto address = reinterpret_cast<std::uintptr_t>(begin);
    next_ = begin + (0 - address / sizeof(float)) % line;
  }
  float* take(std::size_t n) {
    float* piece = next_;
    next_ += padded(n);
    return piece;
  }

 private:
  float* next_;
};

}  // namespace headrace::kernels
