#pragma once

#include <algorithm>
#include <cstdint>

namespace headrace::ps {

/// Uses beyond these make a row no better known. Measured: without the bound, rows that were hot
/// before the stream drifted hold their places for log2(uses) half-lives and cost up to 5 points of
/// hit ratio; with it nothing is lost elsewhere (docs/caching.md).
inline constexpr std::uint32_t known_max = 15;

/// How well a row is known by what its own record says, 0 … known_max: its count of uses, halved
/// for every half-life that it has been idle. Both survive eviction with the row, so a row that is
/// fetched again brings its history along and no sketch is needed.
///
/// The unit of `idle` and `half_life` is the caller's: uses of the table in the traces,
/// milliseconds of last_seen_ms in a table. A half-life of 0: never forgotten.
constexpr std::uint32_t standing(std::uint32_t uses, std::uint64_t idle, std::uint64_t half_life) {
  const std::uint64_t halvings = half_life == 0 ? 0 : idle / half_life;
  return halvings < 32 ? std::min(uses, known_max) >> halvings : 0;
}

/// Half-life in uses of the table for each entry it holds: a row that went unused for as long as it
/// takes to use as many rows as fit four times over counts half. Measured: 2 loses on Zipf, 8 on
/// the recommendation trace (docs/caching.md).
inline constexpr std::uint64_t half_life_uses_per_entry = 4;

}  // namespace headrace::ps
