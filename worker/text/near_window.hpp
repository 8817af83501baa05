#pragma once

#include "base/result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headrace::worker {

/// The simhashes of the newest texts, up to a number, to know one that is near.
///
/// Two that differ in at most three of 64 bits have one of four blocks of 16 in common, so only
/// those that share a block are looked at, all of them: what is found is exact. 24 bytes a text and
/// 2 MiB. A look-up goes through about texts / 16,384 of them; texts made to share a block make it
/// as many as there are. One thread.
class near_window {
 public:
  static constexpr unsigned distance_most = 3;
  static constexpr std::size_t texts_most = std::size_t{1} << 28;

  /// `texts_max`: 1 … texts_most; `distance_max`: bits that may differ, 0 … distance_most.
  near_window(std::size_t texts_max, unsigned distance_max);

  bool knows_near(std::uint64_t hash) const;
  /// The oldest goes where there is no room.
  void add(std::uint64_t hash);
  std::size_t size() const;

  /// Oldest first.
  std::vector<std::uint64_t> hashes() const;

 private:
  static constexpr std::size_t blocks = 4;
  struct text {
    std::uint64_t hash = 0;
    // How many additions before this one the last with the same block was; 0: none in the window.
    std::array<std::uint32_t, blocks> back{};
  };
  static std::size_t block(std::uint64_t hash, std::size_t b) {
    return static_cast<std::size_t>(hash >> (16 * b) & 0xFFFF);
  }

  unsigned distance_max_;
  std::uint64_t added_ = 0;
  std::vector<text> ring_;  // [texts_max] addition n at n % texts_max
  std::vector<std::array<std::uint64_t, blocks>> newest_;  // [65536] additions through it; 0: none
};

}  // namespace headrace::worker
