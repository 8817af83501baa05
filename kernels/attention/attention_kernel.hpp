#pragma once

#include "kernels/attention/scores_device.hpp"

#include <cstddef>
#include <cstdint>

/// Attention's forward pass on matrix units (mma.sync of sm_80): FlashAttention-2 (arXiv
/// 2307.08691, algorithm 1) over ragged tiles.
///
/// A block has a tile of queries of one sequence and head, a warp 16 or 32 of its rows. It walks
/// the tiles of keys that its queries see (tile_schedule.hpp); the next one is on its way
/// (cp.async) while it multiplies. Softmax runs online in base 2, in f32; weights are rounded to
/// the element format for the second product, and their sum is of the unrounded ones. Masks cost
/// nothing but at the edges. Every order is fixed: the same call gives the same bits.
namespace headrace::kernels {

/// Sizes of a block's work.
template <int head_dim, int strip_count, int warp_count, int key_count>
struct attention_tiles {
  static constexpr int dim = head_dim;
  static constexpr int strips = strip_count;  // of 16 queries, a warp
  static constexpr int warps = warp_count;
  static constexpr int keys = key_count;
  static constexpr int rows = 16 * strips * warps;
  static constexpr int threads = 32 * warps;
  /// Blocks that a multiprocessor must have room for, in registers: one warp alone hides little.
  static constexpr int blocks = warps == 1 && dim <= 64 ? 16 : 1;
  /// Queries stay in registers where they leave room for the accumulators.
  static constexpr bool holds_queries = strips * dim <= 128;
  static constexpr int pitch = device::tile_pitch<dim>;
  static constexpr std::size_t shared_bytes = sizeof(std::uint16_t) * pitch * (rows + 4 * keys);
};

namespace device {

/// A block's shared memory: its queries, and two buffers of a tile of keys and one of values.
template <class Tiles>
struct attention_memory {
  std::uint16_t* queries;
  std::uint16_t* buffers;

  HEADRACE_DEVICE explicit attention_memory(std::byte* at)
      : queries(reinterpret_cast<std::uint16_t*>(at)),
        buffers(queries + Tiles::rows * Tiles::pitch) {}
  HEADRACE_DEVICE std::uint16_t* keys(std::uint32_t tile) const {
    return buffers + tile % 2 * (2 * Tiles::keys * Tiles::pitch);
  }
  HEADRACE_DEVICE std::uint16_t* values(std::uint32_t tile) const {
    return keys(tile) + Tiles::keys * Tiles::pitch;
  }
};

/// Begins to load the k-th tile of a walk, of keys and of values; one group of copies.
template <class Tiles>
HEADRACE_DEVICE void begin_keys(const attention_view& args,
                                const attention_memory<Tiles>& memory,
                                const sequence_tile& tile,
                                const tile_walk& walk,
                                std::uint32_t k) {
  const unsigned kv_head = block_index().y / (args.heads / args.kv_heads);
  const std::uint32_t first = walk.at(k) * Tiles::keys;
  const std::size_t token = tile.offset + first;
  const std::size_t head_at = kv_head * Tiles::dim;
  const int valid = static_cast<int>(tile.length - first);
  begin_rows<Tiles::keys, Tiles::dim, Tiles::threads>(
      memory.keys(k), args.k + token * args.k_stride + head_at, args.k_stride, valid);
  begin_rows<Tiles::keys, Tiles::dim, Tiles::threads>(
      memory.values(k), args.v + token * args.v_stride + head_at, args.v_stride, valid);
}

/// The weights of softmax, online, of a warp's rows: of each the largest score so far and, in four
/// lanes' parts, the sum of its weights.
template <int strips>
struct running_softmax {
  static constexpr float unit = log2_e;
  static constexpr float hidden = nothing;
  static constexpr bool folds = true;

  float largest[strips][2];
  float sum[strips][2];

  HEADRACE_DEVICE running_softmax() {
    HEADRACE_UNROLL
    for (int s = 0; s < strips; ++s) {
      HEADRACE_UNROLL
      for (int h = 0; h < 2; ++h) {
        largest[s][h] = nothing;
        sum[s][h] = 0.0F;
      }
    }
  }

  /// Turns scores times `left` into weights, and what was summed so far to their scale.
  template <int eights, int out_eights>
  HEADRACE_DEVICE void take(accumulators<strips, eights>& scores,
                            accumulators<strips, out_eights>& out,
                            float left) {
    HEADRACE_UNROLL
    for (int s = 0; s < strips; ++s) {
      HEADRACE_UNROLL
      for (int h = 0; h < 2; ++h) take_row(scores[s], out[s], largest[s][h], sum[s][h], h, left);
    }
  }

  template <int eights, int out_eights>
  HEADRACE_DEVICE static void take_row(float (&scores)[eights][4],
                                       float (&out)[out_eights][4],
                                       float& top,
                                       float& total,
                                       int h,
                                       float left) {
    const float fade = weigh_row(scores, top, total, h, left);
    HEADRACE_UNROLL
    for (int n = 0; n < out_eights; ++n) {
      HEADRACE_UNROLL
      for (int e = 2 * h; e < 2 * h + 2; ++e) out[n][e] *= fade;
    }
  }

  /// Turns a row's scores times `left` > 0 into weights; returns what must be multiplied to what
  /// was summed so far. A score costs four instructions: larger, multiply_add, exp2_flushed and a
  /// sum; weights below 2^-126 are 0, those of NaN are NaN.
  template <int eights>
  HEADRACE_DEVICE static float weigh_row(
      float (&scores)[eights][4], float& top, float& total, int h, float left) {
    float most = nothing;
    HEADRACE_UNROLL
    for (int n = 0; n < eights; ++n) {
      HEADRACE_UNROLL
      for (int e = 2 * h; e < 2 * h + 2; ++e) most = larger(most, scores[n][e]);
    }
    HEADRACE_UNROLL
    for (unsigned step = 1; step < 4; step *= 2) most = larger(most, shuffle_xor(most, step));
    most = larger(top, most * left);
    const float shift = most == nothing ? 0.0F : most;  // no key yet: weights are 0, not NaN
    const float fade = exp2_flushed(top - shift);
    top = most;
    total *= fade;
    HEADRACE_UNROLL
    for (int n = 0; n < eights; ++n) {
      HEADRACE_UNROLL
      for (int e = 2 * h; e < 2 * h + 2; ++e) {
        scores[n][e] = exp2_flushed(multiply_add(scores[n][e], left, -shift));
        total += scores[n][e];
      }
    }
    return fade;
  }

  /// The sum over a row's four lanes.
  HEADRACE_DEVICE float row_sum(int s, int h) const {
    float total = sum[s][h];
    HEADRACE_UNROLL
    for (unsigned step = 1; step < 4; step *= 2) total += shuffle_xor(total, step);
    return total;
  }

  /// What a row's sum of values is to be multiplied with; writes its log sum, unless `log_sum` is
  /// null.
  HEADRACE_DEVICE float finish(int s, int h, float* log_sum) const {
    const float total = row_sum(s, h);
    if (lane() % 4 == 0 && log_sum != nullptr)
      *log_sum = total == 0.0F ? nothing : (largest[s][h] + log2(total)) * ln_2;
    return total == 0.0F ? 0.0F : 1.0F / total;
  }
};

/// Stores a warp's rows, times what finish() of their weights says.
template <class Element, class Tiles, class Weights>
HEADRACE_DEVICE void store_attention(const attention_view& args,
                                     const sequence_tile& tile,
                                     std::uint16_t* through,
                                     accumulators<Tiles::strips, Tiles::dim / 8>& out,
                                     const Weights& weights,
                                     std::uint32_t first_row) {
  const unsigned head = block_index().y;
  HEADRACE_UNROLL
  for (int s = 0; s < Tiles::strips; ++s) {
    const std::uint32_t first = first_row + 16 * s;
    HEADRACE_UNROLL
    for (int h = 0; h < 2; ++h) {
      const std::uint32_t row = first + row_of(2 * h);
      const std::size_t saved = (tile.offset + static_cast<std::size_t>(row)) * args.heads + head;
      const float factor = weights.finish(s, h, row < tile.last ? args.lse + saved : nullptr);
      HEADRACE_UNROLL
      for (int n = 0; n < Tiles::dim / 8; ++n) {
        HEADRACE_UNROLL
        for (int e = 2 * h; e < 2 * h + 2; ++e) out[s][n][e] *= factor;
      }
    }
    std::uint16_t* to = args.o + (static_cast<std::size_t>(tile.offset) + first) * args.o_stride;
    store_strip<Element>(out[s],
                         through + 16 * s * Tiles::pitch,
                         to + head * Tiles::dim,
                         args.o_stride,
                         static_cast<int>(tile.last) - static_cast<int>(first));
  }
}

/// All of a block's work. `weights` turns scores into weights, as running_softmax does: unit,
/// hidden and folds are those of the scores, take() and finish() as there.
template <class Element, class Tiles, class Weights>
HEADRACE_DEVICE void attend(const attention_view& args,
                            const sequence_tile& tile,
                            Weights& weights) {
  constexpr int strips = Tiles::strips;
  const unsigned head = block_index().y;
  const attention_memory<Tiles> memory(shared_memory());
  const tile_walk walk =
      is_active(args, tile.sequence, head) ? walk_keys(args.mask, tile, Tiles::keys) : tile_walk{};
  const std::size_t token = tile.offset + tile.first;
  begin_rows<Tiles::rows, Tiles::dim, Tiles::threads>(
      memory.queries,
      args.q + token * args.q_stride + head * Tiles::dim,
      args.q_stride,
      static_cast<int>(tile.last - tile.first));
  commit_copies();
  if (walk.count > 0) begin_keys<Tiles>(args, memory, tile, walk, 0);
  commit_copies();
  wait_copies<1>();
  sync_block();

  const int warp_row = static_cast<int>(warp()) * 16 * strips;
  std::uint16_t* my_queries = memory.queries + warp_row * Tiles::pitch;
  std::uint32_t held[strips][Tiles::dim / 16][4];
  if constexpr (Tiles::holds_queries) {
    HEADRACE_UNROLL
    for (int s = 0; s < strips; ++s) {
      HEADRACE_UNROLL
      for (int kk = 0; kk < Tiles::dim / 16; ++kk)
        load_left<Tiles::dim>(held[s][kk], my_queries, 16 * s, 16 * kk);
    }
  }
  const auto queries = [&](int s, int kk, std::uint32_t(&to)[4]) {
    if constexpr (Tiles::holds_queries) {
      HEADRACE_UNROLL
      for (int w = 0; w < 4; ++w) to[w] = held[s][kk][w];
    } else {
      load_left<Tiles::dim>(to, my_queries, 16 * s, 16 * kk);
    }
  };

  const score_rule rule(args.scores, head, Weights::unit, Weights::folds);
  accumulators<strips, Tiles::dim / 8> out;
  clear(out);
  tile_meeting at;
  at.i = static_cast<std::int32_t>(tile.first) + warp_row;
  at.i_end = static_cast<std::int32_t>(tile.last) < at.i + 16 * strips
                 ? static_cast<std::int32_t>(tile.last)
                 : at.i + 16 * strips;
  for (std::uint32_t k = 0; k < walk.count; ++k) {
    if (k + 1 < walk.count) begin_keys<Tiles>(args, memory, tile, walk, k + 1);
    commit_copies();
    wait_copies<1>();
    sync_block();
    at.j = static_cast<std::int32_t>(walk.at(k)) * Tiles::keys;
    at.j_end = static_cast<std::int32_t>(tile.length) < at.j + Tiles::keys
                   ? static_cast<std::int32_t>(tile.length)
                   : at.j + Tiles::keys;
    if (at.i < at.i_end && !none_seen(args.mask, at.i, at.i_end, at.j, at.j_end)) {
      accumulators<strips, Tiles::keys / 8> scores;
      clear(scores);
      multiply_by_rows<Element, Tiles::dim>(scores, queries, memory.keys(k));
      finish_scores<false, Weights::folds>(scores, rule, args.mask, at, Weights::hidden);
      weights.take(scores, out, rule.left());
      multiply_by_columns<Element, Tiles::keys>(
          out,
          [&](int s, int kk, std::uint32_t(&to)[4]) { left_of<Element>(scores[s], kk, to); },
          memory.values(k));
    }
    sync_block();  // the next round loads over these tiles
  }
  store_attention<Element, Tiles>(
      args, tile, my_queries, out, weights, static_cast<std::uint32_t>(at.i));
}

}  // namespace device

/// Grid: tile_numbers(tokens, sequences, rows) by heads, of Tiles::threads threads.
template <class Element, class Tiles>
HEADRACE_KERNEL_OF(Tiles::threads, Tiles::blocks)
void attention_kernel(attention_view args) {
  const sequence_tile tile =
      device::find_tile(args.offsets, args.sequences, device::block_index().x, Tiles::rows);
  if (tile.empty()) return;
  device::running_softmax<Tiles::strips> weights;
  device::attend<Element, Tiles>(args, tile, weights);
}

}  // namespace headrace::kernels
