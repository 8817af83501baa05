#pragma once

#include "kernels/attention/mask.hpp"
#include "kernels/runtime/device.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>

/// Which block of a CUDA grid attends to what: numbers of query tiles in a ragged batch, and the
/// tiles of keys that one visits. Index arithmetic alone, the same on the host and the device.
///
/// Tiles of a batch are numbered without a pass over its lengths, so nothing waits for the host:
/// sequence s starts at first_tile(offsets[s], s), which leaves room for ceil(length / rows) tiles,
/// since ceil(n / r) <= floor((o + n) / r) - floor(o / r) + 1. A sequence leaves at most one number
/// unused; the block that draws it ends at once.
namespace headrace::kernels {

/// A sequence's first number, of tiles of `rows` queries (or keys).
HEADRACE_BOTH constexpr std::uint32_t first_tile(std::uint32_t offset,
                                                 std::uint32_t sequence,
                                                 std::uint32_t rows) {
  return offset / rows + sequence;
}

/// Numbers in use: what the grid must have. 0 without sequences.
HEADRACE_BOTH constexpr std::uint32_t tile_numbers(std::uint32_t tokens,
                                                   std::uint32_t sequences,
                                                   std::uint32_t rows) {
  return sequences == 0 ? 0 : first_tile(tokens, sequences, rows);
}

/// What is left of a search for the last of some ascending values that is <= a wanted one: it lies
/// in [first, first + count).
struct search_span {
  std::uint32_t first = 0;
  std::uint32_t count = 0;

  /// A warp narrows the span to a 32nd by looking at 32 places at once.
  HEADRACE_BOTH constexpr std::uint32_t step() const { return (count + 31) / 32; }
  HEADRACE_BOTH constexpr bool has_probe(std::uint32_t lane) const { return lane * step() < count; }
  HEADRACE_BOTH constexpr std::uint32_t probe(std::uint32_t lane) const {
    return first + lane * step();
  }
  /// After `found` >= 1 of the probes, from the first on, were <= the wanted value.
  HEADRACE_BOTH constexpr search_span narrowed(std::uint32_t found) const {
    const std::uint32_t skipped = (found - 1) * step();
    const std::uint32_t left = count - skipped;
    return {first + skipped, left < step() ? left : step()};
  }
};

/// Rows [first, last) of a sequence of `length` tokens that starts at token `offset` of the batch.
struct sequence_tile {
  std::uint32_t sequence = 0;
  std::uint32_t offset = 0;
  std::uint32_t length = 0;
  std::uint32_t first = 0;
  std::uint32_t last = 0;

  HEADRACE_BOTH constexpr bool empty() const { return first >= last; }
};

/// The tile that `number` stands for within its sequence. A sequence's last tile comes first: under
/// a causal mask it has the most keys, and work that starts late should be short.
HEADRACE_BOTH constexpr sequence_tile tile_of(std::uint32_t number,
                                              std::uint32_t sequence,
                                              std::uint32_t begin,
                                              std::uint32_t end,
                                              std::uint32_t rows) {
  const std::uint32_t length = end - begin;
  const std::uint32_t count = length / rows + (length % rows != 0 ? 1 : 0);
  const std::uint32_t nth = number - first_tile(begin, sequence, rows);
  if (nth >= count) return {sequence, begin, length, length, length};
  const std::uint32_t first = (count - 1 - nth) * rows;
  return {sequence, begin, length, first, length - first < rows ? length : first + rows};
}

/// attention_mask in the integers that a thread masks with; lengths are below 2^31.
struct narrow_mask {
  bool causal = false;
  std::int32_t window = std::numeric_limits<std::int32_t>::max();
  std::int32_t globals = 0;
};
HEADRACE_BOTH constexpr std::int32_t narrowed(std::size_t n) {
  constexpr std::size_t most = std::numeric_limits<std::int32_t>::max();
  return static_cast<std::int32_t>(n < most ? n : most);
}
HEADRACE_BOTH constexpr narrow_mask narrowed(const attention_mask& mask) {
  return {mask.causal, narrowed(mask.window), narrowed(mask.globals)};
}
HEADRACE_BOTH constexpr attention_mask widened(const narrow_mask& mask) {
  return {
      mask.causal, static_cast<std::size_t>(mask.window), static_cast<std::size_t>(mask.globals)};
}

/// sees(), of the mask that this one was narrowed from.
HEADRACE_BOTH constexpr bool sees(const narrow_mask& mask, std::int32_t i, std::int32_t j) {
  const std::int32_t distance = i > j ? i - j : j - i;
  const bool near = distance < mask.window || j < mask.globals;
  return mask.causal ? j <= i && near : near || i < mask.globals;
}

/// Whether every query of [i, i_end) sees every key of [j, j_end): such a tile needs no mask.
HEADRACE_BOTH constexpr bool all_seen(const narrow_mask& mask,
                                      std::int32_t i,
                                      std::int32_t i_end,
                                      std::int32_t j,
                                      std::int32_t j_end) {
  if (mask.causal && j_end - 1 > i) return false;
  const std::int32_t before = i_end - 1 - j;
  const std::int32_t after = j_end - 1 - i;
  if ((before > after ? before : after) < mask.window || j_end <= mask.globals) return true;
  return !mask.causal && i_end <= mask.globals;
}

/// Whether no query of [i, i_end) sees any key of [j, j_end): a warp has nothing to do there.
HEADRACE_BOTH constexpr bool none_seen(const narrow_mask& mask,
                                       std::int32_t i,
                                       std::int32_t i_end,
                                       std::int32_t j,
                                       std::int32_t j_end) {
  if (mask.causal && j > i_end - 1) return true;
  const std::int32_t gap = j > i_end - 1 ? j - (i_end - 1) : i > j_end - 1 ? i - (j_end - 1) : 0;
  return gap >= mask.window && j >= mask.globals && (mask.causal || i >= mask.globals);
}

/// The tiles of a fixed grid that a key_ranges touches, in ascending order: those of the global
/// keys, then those of the window. Each holds at least one key of the ranges.
struct tile_walk {
  std::uint32_t head_tiles = 0;
  std::uint32_t rest_first = 0;
  std::uint32_t count = 0;

  HEADRACE_BOTH constexpr std::uint32_t at(std::uint32_t k) const {
    return k < head_tiles ? k : rest_first + (k - head_tiles);
  }
};
HEADRACE_BOTH constexpr tile_walk walk_tiles(const key_ranges& ranges, std::size_t tile) {
  const std::size_t head_tiles = (ranges.head + tile - 1) / tile;
  const std::size_t begin = ranges.begin / tile;
  const std::size_t rest_first = begin < head_tiles ? head_tiles : begin;
  const std::size_t rest_end = ranges.begin < ranges.end ? (ranges.end + tile - 1) / tile : 0;
  const std::size_t rest = rest_end > rest_first ? rest_end - rest_first : 0;
  return {static_cast<std::uint32_t>(head_tiles),
          static_cast<std::uint32_t>(rest_first),
          static_cast<std::uint32_t>(head_tiles + rest)};
}

/// The tiles of `keys` keys that the queries of a tile see anything in.
HEADRACE_BOTH constexpr tile_walk walk_keys(const narrow_mask& mask,
                                            const sequence_tile& queries,
                                            std::uint32_t keys) {
  if (queries.empty()) return {};
  return walk_tiles(visible_keys(widened(mask), queries.first, queries.last, queries.length), keys);
}

/// The least ranges that hold every query of [0, n) that sees a key of [first, last); first < last
/// <= n.
HEADRACE_BOTH constexpr key_ranges seeing_queries(const attention_mask& mask,
                                                  std::size_t first,
                                                  std::size_t last,
                                                  std::size_t n) {
  if (first < mask.globals) return {0, mask.causal ? first : 0, n};
  if (!mask.causal) return visible_keys(mask, first, last, n);  // who sees is seen
  if (mask.window == 0) return {};
  return {0, first, mask.window < n - (last - 1) ? last - 1 + mask.window : n};
}

/// The tiles of `queries` queries in which anything sees a key of a tile.
HEADRACE_BOTH constexpr tile_walk walk_queries(const narrow_mask& mask,
                                               const sequence_tile& keys,
                                               std::uint32_t queries) {
  if (keys.empty()) return {};
  return walk_tiles(seeing_queries(widened(mask), keys.first, keys.last, keys.length), queries);
}

}  // namespace headrace::kernels
