#pragma once

#include "kernels/attention/attention_view.hpp"
#include "kernels/attention/fragments.hpp"

#include <cstdint>
#include <limits>

/// What the CUDA kernels of attention share: which tile a block has, and scores from products.
/// Softmax has its scores in base 2: times log2(e), so that exp2 takes them.
namespace headrace::kernels::device {

inline constexpr float log2_e = 1.44269504088896340736F;
inline constexpr float ln_2 = 0.69314718055994530942F;
inline constexpr float nothing = -std::numeric_limits<float>::infinity();

/// The tile with this number: the lanes of a warp search the offsets together.
HEADRACE_DEVICE sequence_tile find_tile(const std::uint32_t* offsets,
                                        std::uint32_t sequences,
                                        std::uint32_t number,
                                        std::uint32_t rows) {
  search_span span = {0, sequences};
  while (span.count > 1) {
    const std::uint32_t s = span.probe(lane());
    const bool low = span.has_probe(lane()) && first_tile(offsets[s], s, rows) <= number;
    const unsigned votes = ballot(low);
    std::uint32_t found = 0;
    for (unsigned left = votes; left != 0; left &= left - 1) ++found;
    span = span.narrowed(found);
  }
  const std::uint32_t s = span.first;
  return tile_of(number, s, offsets[s], offsets[s + 1], rows);
}

/// Whether a head works on a sequence.
HEADRACE_DEVICE bool is_active(const attention_view& args, std::uint32_t sequence, unsigned head) {
  return args.active == nullptr ||
         args.active[static_cast<std::size_t>(sequence) * args.heads + head] != 0;
}

/// One head's way from products to scores, with its positions, times a unit. Where nothing is added
/// to products and their order is that of scores, a rule that `folds` leaves products as they are,
/// to be multiplied by left() in an instruction that comes anyway.
struct score_rule {
  float unit = 1;
  float scale = 1;
  float slope = 0;
  const float* table = nullptr;  // at distance 0, or null
  std::int32_t max_distance = 0;
  bool biased = false;
  bool folds = false;

  HEADRACE_DEVICE score_rule(const score_view& of,
                             unsigned head,
                             float times,
                             bool may_fold = false)
      : unit(times), scale(of.scale * times), max_distance(of.max_distance) {
    if (of.alibi_slopes != nullptr) slope = of.alibi_slopes[head] * times;
    if (of.bias_table != nullptr) {
      const std::int32_t width = 2 * max_distance + 1;
      table = of.bias_table + static_cast<std::size_t>(head) * width + max_distance;
    }
    biased = of.alibi_slopes != nullptr || of.bias_table != nullptr;
    folds = may_fold && !biased && scale > 0.0F;
  }

  HEADRACE_DEVICE float left() const { return folds ? scale : 1.0F; }

  HEADRACE_DEVICE float bias(std::int32_t i, std::int32_t j) const {
    const std::int32_t offset = j - i;
    float sum = -slope * static_cast<float>(offset < 0 ? -offset : offset);
    if (table != nullptr) {
      const std::int32_t low = offset < -max_distance ? -max_distance : offset;
      sum += table[low > max_distance ? max_distance : low] * unit;
    }
    return sum;
  }
};

/// The rows that a warp has of a tile and the columns of the tile it meets, by position in the
/// sequence; both real ones alone.
struct tile_meeting {
  std::int32_t i = 0;
  std::int32_t i_end = 0;
  std::int32_t j = 0;
  std::int32_t j_end = 0;
};

/// Calls visit(element, i, j) for a warp's accumulators: rows are the positions from `row` on and
/// columns those from `column` on. Where `transposed`, rows are keys.
template <bool transposed, int strips, int eights, class Visit>
HEADRACE_DEVICE void for_each_pair(accumulators<strips, eights>& c,
                                   const tile_meeting& at,
                                   const Visit& visit) {
  const std::int32_t row = (transposed ? at.j : at.i) + row_of(0);
  const std::int32_t column = (transposed ? at.i : at.j) + column_of(0);
  HEADRACE_UNROLL
  for (int s = 0; s < strips; ++s) {
    HEADRACE_UNROLL
    for (int n = 0; n < eights; ++n) {
      HEADRACE_UNROLL
      for (int e = 0; e < 4; ++e) {
        const std::int32_t r = row + 16 * s + e / 2 * 8;
        const std::int32_t k = column + 8 * n + e % 2;
        visit(c[s][n][e], transposed ? k : r, transposed ? r : k);
      }
    }
  }
}

/// Scores from the products of the queries from `at.i` on with the keys from `at.j` on, or products
/// still where the rule folds; `hidden` where nothing is seen. The branches are the same for all of
/// a warp, and seldom taken.
template <bool transposed, bool folds = false, int strips, int eights>
HEADRACE_DEVICE void finish_scores(accumulators<strips, eights>& c,
                                   const score_rule& rule,
                                   const narrow_mask& mask,
                                   const tile_meeting& at,
                                   float hidden) {
  constexpr std::int32_t rows = 16 * strips;
  constexpr std::int32_t columns = 8 * eights;
  const bool full = at.i + (transposed ? columns : rows) <= at.i_end &&
                    at.j + (transposed ? rows : columns) <= at.j_end;
  if constexpr (folds) {
    if (!rule.folds) {
      for_each_pair<transposed>(c, at, [&](float& score, std::int32_t i, std::int32_t j) {
        score = score * rule.scale + rule.bias(i, j);
      });
    }
  } else {
    HEADRACE_UNROLL
    for (int s = 0; s < strips; ++s) {
      HEADRACE_UNROLL
      for (int n = 0; n < eights; ++n) {
        HEADRACE_UNROLL
        for (int e = 0; e < 4; ++e) c[s][n][e] *= rule.scale;
      }
    }
    if (rule.biased) {
      for_each_pair<transposed>(
          c, at, [&](float& score, std::int32_t i, std::int32_t j) { score += rule.bias(i, j); });
    }
  }
  if (!full || !all_seen(mask, at.i, at.i_end, at.j, at.j_end)) {
    for_each_pair<transposed>(c, at, [&](float& score, std::int32_t i, std::int32_t j) {
      if (i >= at.i_end || j >= at.j_end || !sees(mask, i, j)) score = hidden;
    });
  }
}

}  // namespace headrace::kernels::device
