#pragma once

#include "base/random.hpp"

#include <cstdint>

namespace headrace {

/// A number that nobody can guess and nobody draws twice; never 0.
std::uint64_t drawn_number();

/// Drawn once for the life of the process. What is placed by it must never become visible: not the
/// order of anything that is saved, sent or counted.
std::uint64_t process_secret();

/// Bits that say where in a table a 128-bit hash stands. Hashes that are saved or sent have a seed
/// that anyone may know; who doesn't know the secret finds no two of them, of one half alike or
/// not, that meet here more often than chance has it.
constexpr std::uint64_t secret_place(std::uint64_t low, std::uint64_t high, std::uint64_t secret) {
  return mix64(mix64(low ^ secret) + high);
}

}  // namespace headrace
