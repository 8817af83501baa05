#include "schemas/hash.hpp"

#include <xxhash.h>

#include <array>
#include <bit>
#include <cstdio>
#include <cstring>
#include <string>

namespace headrace::schemas {

namespace {

constexpr char separator = 0x1F;
constexpr char cross_separator = 0x1E;
constexpr std::string_view missing("\0", 1);

}  // namespace

std::uint64_t hash64(std::span<const std::byte> bytes) {
  return XXH3_64bits(bytes.data(), bytes.size());
}

std::string to_string(const hash128& hash) {
  char digits[33];
  std::snprintf(digits,
                sizeof digits,
                "%016llx%016llx",
                static_cast<unsigned long long>(hash.high),
                static_cast<unsigned long long>(hash.low));
  return digits;
}

hash128 hash128_of(std::span<const std::byte> bytes, std::uint64_t seed) {
  const XXH128_hash_t hash = XXH3_128bits_withSeed(bytes.data(), bytes.size(), seed);
  return {hash.low64, hash.high64};
}

row_key hash_string_key(std::string_view salt, std::string_view value) {
  std::array<char, 256> small;  // one per value of a stream: no allocation for the usual lengths
  std::string large;
  const std::size_t size = salt.size() + 1 + value.size();
  char* text = small.data();
  if (size > small.size()) {
    large.resize(size);
    text = large.data();
  }
  if (!salt.empty()) std::memcpy(text, salt.data(), salt.size());
  text[salt.size()] = separator;
  if (!value.empty()) std::memcpy(text + salt.size() + 1, value.data(), value.size());
  return row_key{XXH3_64bits(text, size)};
}

row_key missing_key(std::string_view salt) { return hash_string_key(salt, missing); }

row_key cross_key(std::string_view salt, std::span<const std::uint64_t> of) {
  static_assert(std::endian::native == std::endian::little);
  std::array<char, 256> small;  // as above
  std::string large;
  const std::size_t size = salt.size() + 1 + of.size_bytes();
  char* text = small.data();
  if (size > small.size()) {
    large.resize(size);
    text = large.data();
  }
  if (!salt.empty()) std::memcpy(text, salt.data(), salt.size());
  text[salt.size()] = cross_separator;
  if (!of.empty()) std::memcpy(text + salt.size() + 1, of.data(), of.size_bytes());
  return row_key{XXH3_64bits(text, size)};
}

}  // namespace headrace::schemas
