#include "ps/cache/frequency_sketch.hpp"

#include "base/check.hpp"
#include "base/random.hpp"

#include <algorithm>
#include <bit>

namespace headrace::ps {
namespace {

constexpr std::size_t line_words = 8;
constexpr unsigned rows = 4;        // counters of a key; each has two words of the line to itself
constexpr std::size_t memory = 10;  // uses an entry in a period of the sweep, as TinyLFU has it
constexpr std::uint32_t count_max = 15;

}  // namespace

frequency_sketch::frequency_sketch(std::size_t entries, std::uint64_t seed)
    : words_(std::max(line_words, std::bit_ceil(entries)), 0),
      lines_mask_(words_.size() / line_words - 1),
      seed_(seed),
      period_(entries * memory) {
  CHECK(entries >= 1);
}

std::uint64_t frequency_sketch::hash(std::uint64_t key) const { return mix64(key ^ seed_); }

frequency_sketch::place frequency_sketch::counter(std::uint64_t hash, unsigned row) const {
  const std::size_t line = (hash >> 32) & lines_mask_;
  const unsigned bits = static_cast<unsigned>(hash >> (row * 5)) & 31U;
  return {line * line_words + std::size_t{row} * 2 + (bits >> 4), (bits & 15U) * 4};
}

std::uint32_t frequency_sketch::estimate(std::uint64_t key) const {
  const std::uint64_t h = hash(key);
  std::uint32_t least = count_max;
  for (unsigned row = 0; row < rows; ++row) least = std::min(least, read(counter(h, row)));
  return least;
}

std::uint32_t frequency_sketch::add(std::uint64_t key) {
  sweep();
  const std::uint32_t before = estimate(key);
  if (before == count_max) return before;
  const std::uint64_t h = hash(key);
  for (unsigned row = 0; row < rows; ++row) {
    const place at = counter(h, row);
    if (read(at) == before) words_[at.word] += std::uint64_t{1} << at.shift;
  }
  return before + 1;
}

void frequency_sketch::sweep() {
  debt_ += words_.size() / line_words;
  while (debt_ >= period_) {
    debt_ -= period_;
    for (std::size_t i = 0; i < line_words; ++i) {
      std::uint64_t& word = words_[swept_ * line_words + i];
      word = (word >> 1) & 0x7777777777777777ULL;
    }
    swept_ = (swept_ + 1) & lines_mask_;
  }
}

}  // namespace headrace::ps
