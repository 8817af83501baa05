#pragma once

#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

// Mutates flat Cap'n Proto frames. A changed size alone makes the segment table wrong, and a
// decoder refuses that before it reads anything; so most changes get a table that fits. Include it
// once in a target.
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data,
                                               std::size_t size,
                                               std::size_t size_max,
                                               unsigned seed) {
  size = LLVMFuzzerMutate(data, size, size_max);
  if (seed % 8 == 0) return size;
  size = std::min(size / 8 * 8, size_max);
  if (size < 16) return size;
  const std::uint32_t table[2] = {0, static_cast<std::uint32_t>(size / 8 - 1)};
  std::memcpy(data, table, sizeof table);
  return size;
}
