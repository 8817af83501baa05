// From products q k to weights: bias, mask and SiLU of a tile of scores. Included once for each
// target by hstu's *_cpu.cpp files (no `#pragma once`: Highway's toggle is the guard).
#if defined(HEADRACE_KERNELS_HSTU_SILU_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_KERNELS_HSTU_SILU_INL_HPP
#undef HEADRACE_KERNELS_HSTU_SILU_INL_HPP
#else
#define HEADRACE_KERNELS_HSTU_SILU_INL_HPP
#endif

#include "kernels/attention/blocks.hpp"
#include "kernels/attention/scores-inl.hpp"
#include "kernels/attention/tiles-inl.hpp"
#include "kernels/hstu/hstu.hpp"

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE::hstu_parts {

namespace hn = hwy::HWY_NAMESPACE;
using attention_parts::float_tag;
using attention_parts::lanes;

/// One head of one sequence, all that does not change from tile to tile.
struct hstu_head {
  const float* q;  // of the sequence's first token
  const float* k;
  const float* v;
  std::size_t q_stride;
  std::size_t k_stride;
  std::size_t v_stride;
  std::size_t length;
  std::size_t head_dim;
  std::size_t value_dim;
  float scale;
  float share;          // 1 / n
  attention_mask mask;  // window and globals at most `length`
  const float* table;   // of distance 0; null without
  std::ptrdiff_t max_distance;
};

inline hstu_head view(const hstu_args& args, std::size_t sequence, std::size_t head) {
  const std::size_t first = args.offsets[sequence];
  const std::size_t length = args.offsets[sequence + 1] - first;
  const float n = args.normaliser == 0.0F ? static_cast<float>(length) : args.normaliser;
  const std::size_t table_at = head * (2 * args.max_distance + 1) + args.max_distance;
  return {
      .q = args.q + first * args.q_stride + head * args.head_dim,
      .k = args.k + first * args.k_stride + head * args.head_dim,
      .v = args.v + first * args.v_stride + head * args.value_dim,
      .q_stride = args.q_stride,
      .k_stride = args.k_stride,
      .v_stride = args.v_stride,
      .length = length,
      .head_dim = args.head_dim,
      .value_dim = args.value_dim,
      .scale = args.scale,
      .share = 1.0F / n,
      .mask = {.causal = args.mask.causal,
               .window = std::min(args.mask.window, length),
               .globals = std::min(args.mask.globals, length)},
      .table = args.bias_table.empty() ? nullptr : args.bias_table.data() + table_at,
      .max_distance = static_cast<std::ptrdiff_t>(args.max_distance),
  };
}

/// Scores of the queries [first, first + queries) for `keys`: that of query first + i and key
/// keys.begin + j at data[j * attention_row + i], `columns` >= queries of them in a row.
struct tile_view {
  float* data;
  std::size_t columns;
  std::size_t first;
  std::size_t queries;
  key_span keys;

  std::size_t rows() const { return keys.end - keys.begin; }
};

/// What depends on i - j alone lies in a strip, that of column i and row j of a tile at
/// [i + (rows - 1 - j)]: i - j of its first value, and its size.
inline std::ptrdiff_t strip_origin(const tile_view& tile) {
  return static_cast<std::ptrdiff_t>(tile.first) - static_cast<std::ptrdiff_t>(tile.keys.end) + 1;
}
inline std::size_t strip_size(const tile_view& tile) { return tile.columns + tile.rows() - 1; }

/// The bias of each i - j, and all bits or none for what the mask shows: with the window, and
/// without for the keys and queries that all see.
struct strips {
  float* bias;
  float* open;
  float* windowed;
};

/// The bias of each i - j of the tile.
inline void fill_bias(const hstu_head& head, const tile_view& tile, float* strip) {
  const std::ptrdiff_t origin = strip_origin(tile);
  for (std::size_t t = 0; t < strip_size(tile); ++t) {
    const std::ptrdiff_t offset = -(origin + static_cast<std::ptrdiff_t>(t));
    strip[t] = head.table[std::clamp(offset, -head.max_distance, head.max_distance)];
  }
}

/// In whole vectors: strips have room for one more than strip_size. Positions are exact in float up
/// to 2^24 tokens.
inline void fill_masks(const hstu_head& head, const tile_view& tile, const strips& to) {
  const float_tag d;
  const auto all = hn::VecFromMask(d, hn::Eq(hn::Zero(d), hn::Zero(d)));
  const auto window = hn::Set(d, static_cast<float>(head.mask.window));
  const std::ptrdiff_t origin = strip_origin(tile);
  for (std::size_t t = 0; t < strip_size(tile); t += hn::Lanes(d)) {
    const auto ahead = hn::Iota(d, static_cast<float>(origin + static_cast<std::ptrdiff_t>(t)));
    const auto open = head.mask.causal ? hn::VecFromMask(d, hn::Ge(ahead, hn::Zero(d))) : all;
    const auto near = hn::VecFromMask(d, hn::Lt(hn::Abs(ahead), window));
    hn::StoreU(open, d, to.open + t);
    hn::StoreU(hn::And(open, near), d, to.windowed + t);
  }
}

/// Whether each query of the tile sees each key; may say no where all do.
inline bool all_visible(const hstu_head& head, const tile_view& tile) {
  const std::size_t last = tile.first + tile.queries - 1;
  const bool ahead = tile.keys.end - 1 > tile.first;
  if (head.mask.causal && ahead) return false;
  if (tile.keys.end <= head.mask.globals) return true;
  const bool near_behind = last < tile.keys.begin + head.mask.window;
  const bool near_ahead = tile.keys.end - 1 < tile.first + head.mask.window;
  return near_behind && near_ahead;
}

/// All bits or none for the queries from column i on and a key: sees() of mask.hpp.
HWY_INLINE hn::Vec<float_tag> shown(const hstu_head& head,
                                    const tile_view& tile,
                                    const strips& masks,
                                    std::size_t i,
                                    std::size_t j) {
  const float_tag d;
  const std::size_t at = i + (tile.rows() - 1 - j);
  const bool global_key = tile.keys.begin + j < head.mask.globals;
  const auto seen = hn::LoadU(d, (global_key ? masks.open : masks.windowed) + at);
  if (HWY_LIKELY(head.mask.causal || tile.first >= head.mask.globals)) return seen;
  const auto query = hn::Iota(d, static_cast<float>(tile.first + i));
  const auto globals = hn::Set(d, static_cast<float>(head.mask.globals));
  return hn::Or(seen, hn::VecFromMask(d, hn::Lt(query, globals)));
}

/// 1 / (1 + e^-x); below -87, where it is under 2^-125, that of -87.
template <class V>
HWY_INLINE V sigmoid(V x) {
  const float_tag d;
  const auto power = hn::Mul(x, hn::Set(d, -attention_parts::log2_e));
  const auto kept = hn::Min(hn::Set(d, 125.5F), power);  // in this order NaN stays on x86
  const auto one = hn::Set(d, 1.0F);
  return hn::Div(one, hn::Add(one, attention_parts::exp2(d, kept)));
}

/// Calls step(score, at, see) for each vector of biased scores, the one at data[at]; see(value)
/// is the value, 0 where the mask hides the pair.
template <class Step>
HWY_INLINE void for_each_score(const hstu_head& head,
                               const tile_view& tile,
                               const strips& scratch,
                               const Step& step) {
  const float_tag d;
  const bool open = all_visible(head, tile);
  if (!open) fill_masks(head, tile, scratch);
  if (head.table != nullptr) fill_bias(head, tile, scratch.bias);
  for (std::size_t j = 0; j < tile.rows(); ++j) {
    const float* bias = scratch.bias + (tile.rows() - 1 - j);
    for (std::size_t i = 0; i < tile.columns; i += hn::Lanes(d)) {
      const std::size_t at = j * attention_row + i;
      auto score = hn::LoadU(d, tile.data + at);
      if (head.table != nullptr) score = hn::Add(score, hn::LoadU(d, bias + i));
      if (HWY_LIKELY(open)) {
        step(score, at, [](auto value) HWY_ATTR { return value; });
      } else {
        const auto seen = shown(head, tile, scratch, i, j);
        step(score, at, [seen](auto value) HWY_ATTR { return hn::And(seen, value); });
      }
    }
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE::hstu_parts
HWY_AFTER_NAMESPACE();

#endif
