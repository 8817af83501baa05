#include "storage/crc32c.hpp"

#include <isa-l/crc.h>

#include <algorithm>

namespace headrace::storage {

// ISA-L leaves the inversions at both ends to the caller and takes its length as an int.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before) {
  constexpr std::size_t piece_max = std::size_t{1} << 30;
  auto* at = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(bytes.data()));  // only read
  std::uint32_t state = ~before;
  for (std::size_t left = bytes.size(); left > 0;) {
    const std::size_t piece = std::min(left, piece_max);
    state = crc32_iscsi(at, static_cast<int>(piece), state);
    at += piece;
    left -= piece;
  }
  return ~state;
}

}  // namespace headrace::storage
