#include "schemas/index_list.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <cstring>

namespace headrace::schemas {
namespace {

/// Up to 8 bytes from `at` on as a number; what lies behind the end is 0.
std::uint64_t load(std::span<const std::byte> bytes, std::size_t at) {
  std::uint64_t word = 0;
  if (at + sizeof word <= bytes.size()) {
    std::memcpy(&word, bytes.data() + at, sizeof word);
  } else if (at < bytes.size()) {
    std::memcpy(&word, bytes.data() + at, bytes.size() - at);
  }
  return word;
}

void set_bit(std::span<std::byte> bytes, std::uint64_t bit) {
  bytes[bit / 8] |= std::byte{1} << static_cast<unsigned>(bit % 8);
}

/// The low parts, filled from the lowest bit up.
void pack_low(std::span<const std::uint32_t> indices, unsigned low, std::span<std::byte> into) {
  const std::uint64_t mask = (std::uint64_t{1} << low) - 1;
  std::uint64_t held = 0;
  unsigned bits = 0;
  std::size_t at = 0;
  for (const std::uint32_t index : indices) {
    held |= (index & mask) << bits;
    for (bits += low; bits >= 8; bits -= 8, held >>= 8U)
      into[at++] = static_cast<std::byte>(held & 0xFFU);
  }
  if (bits > 0) into[at++] = static_cast<std::byte>(held);
}

}  // namespace

void pack_indices(std::span<const std::uint32_t> indices,
                  std::uint64_t n,
                  std::span<std::byte> into) {
  const std::uint64_t k = indices.size();
  CHECK(k <= n);
  CHECK(into.size() == index_list_bytes(n, k));
  if (k == 0) return;
  const unsigned low = index_list_low_bits(n, k);
  const std::size_t low_bytes = (k * low + 7) / 8;
  pack_low(indices, low, into.first(low_bytes));
  const auto high = into.subspan(low_bytes);
  std::fill(high.begin(), high.end(), std::byte{0});
  for (std::size_t i = 0; i < k; ++i) set_bit(high, (indices[i] >> low) + i);
}

bool unpack_indices(std::span<const std::byte> bytes,
                    std::uint64_t n,
                    std::span<std::uint32_t> indices) {
  const std::size_t k = indices.size();
  CHECK(bytes.size() == index_list_bytes(n, k));
  if (k == 0) return true;
  const unsigned low = index_list_low_bits(n, k);
  const std::size_t low_bytes = (k * low + 7) / 8;
  const auto lows = bytes.first(low_bytes);
  const auto high = bytes.subspan(low_bytes);
  const std::uint64_t mask = (std::uint64_t{1} << low) - 1;
  if (k * low % 8 != 0 && static_cast<unsigned>(lows.back()) >> (k * low % 8) != 0) return false;
  std::size_t found = 0;
  std::uint64_t least = 0;  // the next index is not below
  for (std::size_t at = 0; at < high.size(); at += sizeof(std::uint64_t)) {
    for (std::uint64_t word = load(high, at); word != 0; word &= word - 1) {
      if (found == k) return false;
      const std::uint64_t bit = at * 8 + static_cast<unsigned>(std::countr_zero(word));
      const std::size_t first = found * low;
      const std::uint64_t rest = load(lows, first / 8) >> (first % 8) & mask;
      const std::uint64_t index = (bit - found) << low | rest;
      if (index < least || index >= n) return false;
      indices[found++] = static_cast<std::uint32_t>(index);
      least = index + 1;
    }
  }
  return found == k;
}

}  // namespace headrace::schemas
