#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

/// Which keys a query sees, and which stretches of keys a kernel has to visit for it: plain
/// arithmetic on positions within a sequence, no mask in memory.
namespace headrace::kernels {

/// Full (the default), causal, and either with a window and global positions.
struct attention_mask {
  static constexpr std::size_t no_window = std::numeric_limits<std::size_t>::max();

  bool causal = false;
  std::size_t window = no_window;  // counts the query itself: 1 sees itself (and globals) only
  std::size_t globals = 0;         // the first positions, seen by all; not causal: they see all
};

/// Whether query i sees key j.
constexpr bool sees(const attention_mask& mask, std::size_t i, std::size_t j) {
  const std::size_t distance = i > j ? i - j : j - i;
  const bool near = distance < mask.window || j < mask.globals;
  return mask.causal ? j <= i && near : near || i < mask.globals;
}

/// The keys [0, head) and [begin, end), head <= begin; those in between are hidden.
struct key_ranges {
  std::size_t head = 0;
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// The least ranges that hold every key of [0, n) that a query of [first, last) sees; first < last
/// <= n. In one piece (head 0) where the two meet.
constexpr key_ranges visible_keys(const attention_mask& mask,
                                  std::size_t first,
                                  std::size_t last,
                                  std::size_t n) {
  if (!mask.causal && first < mask.globals) return {0, 0, n};
  const std::size_t end_max = mask.causal ? last : n;
  const std::size_t window = std::min(mask.window, n);
  const std::size_t head = std::min(mask.globals, end_max);
  const std::size_t begin = first + 1 > window ? first + 1 - window : 0;
  const std::size_t end = window == 0 ? begin : std::min(end_max, last - 1 + window);
  if (end <= head) return {0, 0, head};
  if (begin <= head) return {0, 0, end};
  return window == 0 ? key_ranges{0, 0, head} : key_ranges{head, begin, end};
}

/// The least stretch [begin, end) of a tile that holds what `ranges` has of it; empty: begin >=
/// end.
struct key_span {
  std::size_t begin = 0;
  std::size_t end = 0;
};
constexpr key_span within_tile(const key_ranges& ranges, std::size_t begin, std::size_t end) {
  const bool in_head = begin < ranges.head;
  const bool in_rest = ranges.begin < end && begin < ranges.end;
  if (!in_head && !in_rest) return {begin, begin};
  return {in_head ? begin : std::max(begin, ranges.begin),
          in_rest ? std::min(end, ranges.end) : std::min(end, ranges.head)};
}

/// Where the next tile of a grid of `tile` keys starts that `ranges` touches, from `begin` on.
constexpr std::size_t next_tile(const key_ranges& ranges, std::size_t begin, std::size_t tile) {
  return begin < ranges.head ? begin : std::max(begin, ranges.begin / tile * tile);
}

}  // namespace headrace::kernels
