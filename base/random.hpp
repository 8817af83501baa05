#pragma once

#include <cstdint>

namespace headrace {

/// One splitmix64 step: the hash that places rows on shards and drives every counter-based draw.
/// Frozen: the shard of a row is a function of it (docs/adr/0001). Source: Steele et al.,
/// OOPSLA'14.
constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

/// A double in [0, 1): the top 53 bits of `bits`.
constexpr double unit_double(std::uint64_t bits) {
  return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

/// A float in [0, 1): the top 24 bits of `bits`; exact on every target.
constexpr float unit_float(std::uint64_t bits) {
  return static_cast<float>(bits >> 40) * 0x1.0p-24F;
}

/// The i-th draw of the stream named by (seed, key): no state, so any build and any order of use
/// gives the same number.
constexpr std::uint64_t counter_draw(std::uint64_t seed, std::uint64_t key, std::uint64_t i) {
  return mix64(mix64(seed ^ mix64(key)) + i * 0x9E3779B97F4A7C15ULL);
}

/// The random stream of the rows64 workload and the planted set: the i-th draw is
/// mix64((seed + i) * 0x9E3779B97F4A7C15 + 0x1234567). Not for secrets.
class random_stream {
 public:
  explicit constexpr random_stream(std::uint64_t seed) : position_(seed) {}

  constexpr std::uint64_t next() {
    return mix64(position_++ * 0x9E3779B97F4A7C15ULL + 0x1234567ULL);
  }
  /// Uniform in [0, 1).
  constexpr double next_unit() { return unit_double(next()); }
  /// Uniform in [0, n), n ≥ 1; bias below n / 2^64.
  constexpr std::uint64_t next_below(std::uint64_t n) { return next() % n; }

 private:
  std::uint64_t position_;
};

}  // namespace headrace
