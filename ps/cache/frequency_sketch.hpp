#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace headrace::ps {

/// About how often a key was used lately, 0 … 15: a count-min sketch of 4-bit counters.
///
/// TinyLFU's (Einziger, Friedman, Manes: "TinyLFU: a highly efficient cache admission policy", ACM
/// ToS 2017), laid out so that a key's four counters lie in one cache line. Only the counters that
/// hold the minimum grow, which halves the error of keys that collide. A sweep halves them
/// line by line, each once in 10 × entries uses, so that old uses fade and no use waits for a
/// halving of everything. Never less than the true count since the sweep last passed,
/// up to 15. 8 bytes an entry; one thread owns it. Deterministic in seed and order of uses.
class frequency_sketch {
 public:
  /// For a cache of `entries` ≥ 1.
  frequency_sketch(std::size_t entries, std::uint64_t seed);

  /// Counts a use; returns the estimate with it.
  std::uint32_t add(std::uint64_t key);
  std::uint32_t estimate(std::uint64_t key) const;
  std::size_t bytes() const { return words_.size() * sizeof(std::uint64_t); }

 private:
  struct place {
    std::size_t word;  // in words_
    unsigned shift;    // of the counter in it
  };
  std::uint64_t hash(std::uint64_t key) const;
  place counter(std::uint64_t hash, unsigned row) const;
  std::uint32_t read(place at) const { return (words_[at.word] >> at.shift) & 15U; }
  void sweep();

  std::vector<std::uint64_t> words_;  // whole lines of 8
  std::size_t lines_mask_;
  std::uint64_t seed_;
  std::size_t period_;     // uses in which the sweep passes every line once
  std::size_t swept_ = 0;  // next line to halve
  std::size_t debt_ = 0;   // of lines to halve, in 1 / period_
};

}  // namespace headrace::ps
