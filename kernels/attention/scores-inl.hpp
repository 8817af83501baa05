// From products q k to weights: bias, mask and exponential of a tile of scores. Included once for
// each target by attention's *_cpu.cpp files (no `#pragma once`: Highway's toggle is the guard).
#if defined(HEADRACE_KERNELS_ATTENTION_SCORES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_KERNELS_ATTENTION_SCORES_INL_HPP
#undef HEADRACE_KERNELS_ATTENTION_SCORES_INL_HPP
#else
#define HEADRACE_KERNELS_ATTENTION_SCORES_INL_HPP
#endif

#include "kernels/attention/attention.hpp"
#include "kernels/attention/blocks.hpp"
#include "kernels/attention/tiles-inl.hpp"

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE::attention_parts {

/// Scores are kept in units of ln 2, so that a weight is a power of 2: q and biases carry this.
constexpr float log2_e = 0x1.715476p+0F;
constexpr float ln_2 = 0x1.62e43p-1F;

/// 2^x for x <= 127, relative error below 2^-22; 1 at 0; 0 below -126.5, at -infinity too; NaN
/// stays. The polynomial is the minimax one of (2^f - 1) / f in relative error, |f| <= 1/2 (Remez
/// exchange, 1.1e-7 as rounded).
template <class D, class V>
HWY_INLINE V exp2(D d, V x) {
  const hn::RebindToUnsigned<D> bits;
  // Adding this leaves x rounded, plus the exponent's bias, in the low bits.
  const auto shift = hn::Set(d, 0x1.8p23F + 127.0F);
  const auto least = hn::Set(d, -127.0F);
  const auto kept = hn::IfThenElse(hn::Lt(x, least), least, x);  // Max may lose NaN
  const auto shifted = hn::Add(kept, shift);
  const auto f = hn::Sub(kept, hn::Sub(shifted, shift));
  auto series = hn::Set(d, 0x1.5bba0ep-10F);
  series = hn::MulAdd(series, f, hn::Set(d, 0x1.3cea88p-7F));
  series = hn::MulAdd(series, f, hn::Set(d, 0x1.c6b752p-5F));
  series = hn::MulAdd(series, f, hn::Set(d, 0x1.ebf9bcp-3F));
  series = hn::MulAdd(series, f, hn::Set(d, 0x1.62e42ap-1F));
  series = hn::MulAdd(series, f, hn::Set(d, 1.0F));
  const auto power = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(bits, shifted)));
  return hn::Mul(series, power);
}

/// One head of one sequence, all that does not change from tile to tile.
struct head_view {
  const float* q;  // of the sequence's first token
  const float* k;
  const float* v;
  std::size_t q_stride;
  std::size_t k_stride;
  std::size_t v_stride;
  std::size_t length;
  std::size_t head_dim;
  float scale;
  attention_mask mask;  // window and globals at most `length`
  float slope;          // of ALiBi, 0 without; in units of ln 2
  const float* table;   // of distance 0; null without
  std::ptrdiff_t max_distance;
  bool biased;
};

inline head_view view(const attention_args& args, std::size_t sequence, std::size_t head) {
  const std::size_t first = args.offsets[sequence];
  const std::size_t length = args.offsets[sequence + 1] - first;
  const std::size_t at_q = head * args.head_dim;
  const std::size_t at_kv = head / (args.heads / args.kv_heads) * args.head_dim;
  const float* table = args.bias_table.empty()
                           ? nullptr
                           : args.bias_table.data() + head * (2 * args.max_distance + 1);
  return {
      .q = args.q + first * args.q_stride + at_q,
      .k = args.k + first * args.k_stride + at_kv,
      .v = args.v + first * args.v_stride + at_kv,
      .q_stride = args.q_stride,
      .k_stride = args.k_stride,
      .v_stride = args.v_stride,
      .length = length,
      .head_dim = args.head_dim,
      .scale = args.scale,
      .mask = {.causal = args.mask.causal,
               .window = std::min(args.mask.window, length),
               .globals = std::min(args.mask.globals, length)},
      .slope = args.alibi_slopes.empty() ? 0.0F : args.alibi_slopes[head] * log2_e,
      .table = table == nullptr ? nullptr : table + args.max_distance,
      .max_distance = static_cast<std::ptrdiff_t>(args.max_distance),
      .biased = table != nullptr || !args.alibi_slopes.empty(),
  };
}

/// Scores of the queries [first, first + queries) for the keys `keys`: the score of query first + i
/// and key keys.begin + j at data[j * row + i], `columns` >= queries of them in a row.
struct score_tile {
  float* data;
  std::size_t row;
  std::size_t columns;
  std::size_t first;
  std::size_t queries;
  key_span keys;
};

/// What depends on i - j alone lies in a strip: that of column i and row j of a tile at
/// [i + (keys - 1 - j)], so that a row of the tile is contiguous.
struct strips {
  float* open;      // bias, and -infinity for keys that causality hides
  float* windowed;  // the same, and what the window hides
};

/// i - j of the strip's first value.
inline std::ptrdiff_t strip_origin(const score_tile& tile) {
  return static_cast<std::ptrdiff_t>(tile.first) - static_cast<std::ptrdiff_t>(tile.keys.end) + 1;
}
inline std::size_t strip_size(const score_tile& tile) {
  return tile.columns + (tile.keys.end - tile.keys.begin) - 1;
}

/// Values are written in whole vectors: strips have room for one more than strip_size.
HWY_NOINLINE inline void fill_strips(const head_view& head,
                                     const score_tile& tile,
                                     const strips& to) {
  const float_tag d;
  const std::ptrdiff_t origin = strip_origin(tile);
  const std::size_t n = strip_size(tile);
  if (head.table != nullptr) {
    for (std::size_t t = 0; t < n; ++t) {
      const std::ptrdiff_t offset = -(origin + static_cast<std::ptrdiff_t>(t));
      to.open[t] = log2_e * head.table[std::clamp(offset, -head.max_distance, head.max_distance)];
    }
  }
  const auto hidden = hn::Set(d, -std::numeric_limits<float>::infinity());
  const auto window = hn::Set(d, static_cast<float>(head.mask.window));
  for (std::size_t t = 0; t < n; t += hn::Lanes(d)) {
    const auto ahead = hn::Iota(d, static_cast<float>(origin + static_cast<std::ptrdiff_t>(t)));
    const auto distance = hn::Abs(ahead);
    auto open = head.table == nullptr ? hn::Zero(d) : hn::LoadU(d, to.open + t);
    open = hn::NegMulAdd(hn::Set(d, head.slope), distance, open);
    if (head.mask.causal) open = hn::IfThenElse(hn::Lt(ahead, hn::Zero(d)), hidden, open);
    hn::StoreU(open, d, to.open + t);
    hn::StoreU(hn::IfThenElse(hn::Ge(distance, window), hidden, open), d, to.windowed + t);
  }
}

/// Whether the window hides a pair of the tile that no other rule shows.
inline bool cut_by_window(const head_view& head, const score_tile& tile) {
  const std::size_t last = tile.first + tile.queries - 1;
  const bool behind = last >= tile.keys.begin + head.mask.window;
  const bool ahead = tile.keys.end - 1 >= tile.first + head.mask.window;
  return (behind || (!head.mask.causal && ahead)) && tile.keys.end > head.mask.globals;
}

/// Adds bias and mask to raw products; nothing where a tile has neither. In tiles that have them,
/// adding 0 changes no weight: the bits do not depend on which way was taken.
HWY_NOINLINE inline void add_bias_and_mask(const head_view& head,
                                           const score_tile& tile,
                                           const strips& scratch) {
  const bool windowed = cut_by_window(head, tile);
  const bool ahead = head.mask.causal && tile.keys.end - 1 > tile.first;
  if (!head.biased && !windowed && !ahead) return;
  const float_tag d;
  fill_strips(head, tile, scratch);
  const bool global_queries = windowed && !head.mask.causal && tile.first < head.mask.globals;
  const std::size_t rows = tile.keys.end - tile.keys.begin;
  for (std::size_t j = 0; j < rows; ++j) {
    const bool open_row = !windowed || tile.keys.begin + j < head.mask.globals;
    const float* strip = (open_row ? scratch.open : scratch.windowed) + (rows - 1 - j);
    const float* open = scratch.open + (rows - 1 - j);
    float* scores = tile.data + j * tile.row;
    for (std::size_t i = 0; i < tile.columns; i += hn::Lanes(d)) {
      auto term = hn::LoadU(d, strip + i);
      if (HWY_UNLIKELY(global_queries)) {
        const auto query = hn::Iota(d, static_cast<float>(tile.first + i));
        const auto globals = hn::Set(d, static_cast<float>(head.mask.globals));
        term = hn::IfThenElse(hn::Lt(query, globals), hn::LoadU(d, open + i), term);
      }
      hn::StoreU(hn::Add(hn::LoadU(d, scores + i), term), d, scores + i);
    }
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE::attention_parts
HWY_AFTER_NAMESPACE();

#endif
