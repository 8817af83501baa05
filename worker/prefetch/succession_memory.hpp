#pragma once

#include "base/second_chance.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace headrace::worker {

/// What followed what: for the keys seen lately, the four keys that last came right after each, the
/// latest first, and how often in a row of chances each was right. And which differences between
/// neighbouring keys come up again and again, for streams of numbered keys.
///
/// It proposes; how likely a proposal is, the predictor learns. About 57 bytes a key remembered;
/// single-threaded.
class succession_memory {
 public:
  static constexpr std::size_t followers_max = 4;
  static constexpr std::size_t hops_max = 8;
  static constexpr std::size_t strides_max = 2;
  static constexpr std::uint8_t confirmed_max = 3;
  /// Ways a proposal can come about; the predictor learns a weight for each.
  static constexpr std::size_t ways =
      (followers_max + hops_max - 1 + strides_max) * (confirmed_max + 1);

  struct proposal {
    std::uint64_t key;
    std::uint32_t way;
  };

  /// `keys` ≥ 1: how many are remembered.
  succession_memory(std::size_t keys, std::uint64_t seed);

  /// `next` came right after `previous`.
  void record(std::uint64_t previous, std::uint64_t next);
  /// Adds, without repeats, what may come after `key`: its followers, then the latest follower's
  /// latest follower and so on, `hops_max` in all, then the most usual differences.
  void propose(std::uint64_t key, std::vector<proposal>& proposals) const;

 private:
  struct followers {
    std::array<std::uint64_t, followers_max> keys;
    std::array<std::uint8_t, followers_max> confirmed;
    std::uint8_t count = 0;
  };
  struct stride {
    std::uint64_t difference = 0;
    std::uint32_t count = 0;
  };
  void record_stride(std::uint64_t difference);
  const followers* of(std::uint64_t key) const;

  second_chance known_;
  std::vector<followers> followers_;  // by place in known_
  std::array<stride, 8> strides_{};   // by count, descending
  std::uint32_t strides_recorded_ = 0;
};

}  // namespace headrace::worker
