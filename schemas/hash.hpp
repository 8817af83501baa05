#pragma once

#include "base/ids.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

/// Hashes whose values are stored or sent, so that they are frozen by test vectors (docs/adr/0001).
namespace headrace::schemas {

/// xxh3-64 with seed 0.
std::uint64_t hash64(std::span<const std::byte> bytes);

struct hash128 {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  /// Sum modulo 2^128: digests of rows add up in any order.
  constexpr hash128& operator+=(const hash128& other) {
    low += other.low;
    high += other.high + (low < other.low ? 1 : 0);
    return *this;
  }
  friend bool operator==(const hash128&, const hash128&) = default;
};
/// 32 hexadecimal digits.
std::string to_string(const hash128& hash);
/// xxh3-128 with the given seed.
hash128 hash128_of(std::span<const std::byte> bytes, std::uint64_t seed);

/// Row key of a categorical value: xxh3-64(salt ‖ 0x1F ‖ value). The salt is the feature's name
/// unless the job file sets one; features that share a salt share rows. A missing value is hashed
/// as the single byte 0x00 and so has an id of its own.
row_key hash_string_key(std::string_view salt, std::string_view value);
row_key missing_key(std::string_view salt);

/// Row key of a combination of values: xxh3-64(salt ‖ 0x1E ‖ the keys of the values, little-endian,
/// in the order of the job file). A missing value takes part with its missing_key.
row_key cross_key(std::string_view salt, std::span<const std::uint64_t> of);

}  // namespace headrace::schemas
