#include "schemas/packed_numbers.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace headrace::schemas {
namespace {

constexpr unsigned length_max = 8;

unsigned length_of(std::uint64_t number) {
  return (static_cast<unsigned>(std::bit_width(number)) + 7) / 8;
}

/// Appends n numbers, `number(i)` in order.
template <class Number>
void pack(std::size_t n, Number number, std::vector<std::byte>& into) {
  const std::size_t lengths = into.size();
  into.resize(lengths + (n + 1) / 2);
  std::size_t end = into.size();
  into.resize(end + n * length_max);
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t value = number(i);
    const unsigned length = length_of(value);
    into[lengths + i / 2] |= static_cast<std::byte>(length << (i % 2 * 4));
    std::memcpy(into.data() + end, &value, sizeof value);
    end += length;
  }
  into.resize(end);
}

/// Reads n numbers and gives them to `take`, until it says false.
template <class Take>
bool unpack(std::span<const std::byte> bytes, std::size_t n, Take take) {
  const std::size_t lengths = (n + 1) / 2;
  if (bytes.size() < lengths) return false;
  if (n % 2 != 0 && static_cast<unsigned>(bytes[lengths - 1]) >> 4U != 0) return false;
  std::size_t at = lengths;
  for (std::size_t i = 0; i < n; ++i) {
    const unsigned length = static_cast<unsigned>(bytes[i / 2]) >> (i % 2 * 4) & 0xFU;
    if (length > length_max || length > bytes.size() - at) return false;
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data() + at, length);
    at += length;
    if (!take(i, value)) return false;
  }
  return at == bytes.size();
}

}  // namespace

void pack_keys(std::span<const std::uint64_t> keys, std::vector<std::byte>& into) {
  const auto between = [&](std::size_t i) { return i == 0 ? keys[0] : keys[i] - keys[i - 1] - 1; };
  pack(keys.size(), between, into);
}

bool unpack_keys(std::span<const std::byte> bytes, std::span<std::uint64_t> keys) {
  std::uint64_t before = ~std::uint64_t{0};  // so that the first key is what it says
  return unpack(bytes, keys.size(), [&](std::size_t i, std::uint64_t between) {
    const std::uint64_t key = before + 1 + between;
    if (i > 0 && key <= before) return false;  // went around
    keys[i] = before = key;
    return true;
  });
}

void pack_counts(std::span<const std::uint32_t> counts, std::vector<std::byte>& into) {
  if (counts.empty()) return;
  const std::uint32_t least = *std::min_element(counts.begin(), counts.end());
  const auto bytes = std::as_bytes(std::span(&least, 1));
  into.insert(into.end(), bytes.begin(), bytes.end());
  pack(
      counts.size(), [&](std::size_t i) { return std::uint64_t{counts[i] - least}; }, into);
}

bool unpack_counts(std::span<const std::byte> bytes, std::span<std::uint32_t> counts) {
  if (counts.empty()) return bytes.empty();
  std::uint32_t least = 0;
  if (bytes.size() < sizeof least) return false;
  std::memcpy(&least, bytes.data(), sizeof least);
  return unpack(
      bytes.subspan(sizeof least), counts.size(), [&](std::size_t i, std::uint64_t above) {
        if (above > UINT32_MAX - least) return false;
        counts[i] = least + static_cast<std::uint32_t>(above);
        return true;
      });
}

}  // namespace headrace::schemas
