#pragma once

#include "kernels/attention/gradient_device.hpp"

#include <cstddef>
#include <cstdint>

/// dq of attention on matrix units: dQ = scale dS K with dS = P ⊙ (d_o Vᵀ - D). A block keeps a
/// tile of queries with its d_o, a warp some of its rows, and walks over the keys as forward does.
namespace headrace::kernels {
namespace device {

/// Begins to load the k-th tile of keys and of values of a walk; one group of copies.
template <class Tiles>
HEADRACE_DEVICE void begin_passing_keys(const gradient_memory<Tiles>& memory,
                                        const head_rows& keys,
                                        const head_rows& values,
                                        std::uint32_t length,
                                        const tile_walk& walk,
                                        std::uint32_t k) {
  const std::uint32_t first = walk.at(k) * Tiles::columns;
  const int valid = static_cast<int>(length - first);
  begin_rows<Tiles::columns, Tiles::dim, Tiles::threads>(
      memory.first(k), keys.at(first), keys.stride, valid);
  begin_rows<Tiles::columns, Tiles::dim, Tiles::threads>(
      memory.second(k), values.at(first), values.stride, valid);
}

/// What each row of a warp needs of forward: its log sum (base 2) and its dot.
template <class Rule, int strips>
struct saved_rows {
  float log_sums[strips][2];
  float dots[strips][2];

  HEADRACE_DEVICE saved_rows(const attention_backward_view& args,
                             const sequence_tile& tile,
                             const warp_rows& rows,
                             unsigned head) {
    HEADRACE_UNROLL
    for (int s = 0; s < strips; ++s) {
      HEADRACE_UNROLL
      for (int h = 0; h < 2; ++h) {
        const std::int32_t row = rows.first + 16 * s + row_of(2 * h);
        const std::size_t at =
            (tile.offset + static_cast<std::size_t>(row)) * args.forward.heads + head;
        const bool saved = Rule::reads_saved && row < rows.last;
        log_sums[s][h] = saved ? base_2(args.forward.lse[at]) : 0.0F;
        dots[s][h] = saved ? args.dots[at] : 0.0F;
      }
    }
  }
};

/// scores become dS.
template <class Rule, int strips, int eights>
HEADRACE_DEVICE void score_gradients(accumulators<strips, eights>& scores,
                                     const accumulators<strips, eights>& products,
                                     const saved_rows<Rule, strips>& saved) {
  HEADRACE_UNROLL
  for (int s = 0; s < strips; ++s) {
    HEADRACE_UNROLL
    for (int n = 0; n < eights; ++n) {
      HEADRACE_UNROLL
      for (int e = 0; e < 4; ++e) {
        const float prepared = Rule::prepare(scores[s][n][e], saved.log_sums[s][e / 2]);
        scores[s][n][e] = Rule::gradient(prepared, products[s][n][e], saved.dots[s][e / 2]);
      }
    }
  }
}

/// Walks over the keys that a tile of queries sees and calls take(dS, where, step) in every warp
/// that has something there, then after(where) in all. The kept tiles are in place by then.
template <class Element, class Rule, class Tiles, class Take, class After>
HEADRACE_DEVICE void walk_score_gradients(const attention_backward_view& args,
                                          const sequence_tile& tile,
                                          unsigned head,
                                          const gradient_memory<Tiles>& memory,
                                          const Take& take,
                                          const After& after) {
  const attention_view& in = args.forward;
  const std::size_t kv_at = head / (in.heads / in.kv_heads) * Tiles::dim;
  const head_rows keys(in.k, in.k_stride, tile.offset, kv_at);
  const head_rows values(in.v, in.v_stride, tile.offset, kv_at);
  const head_rows queries(in.q, in.q_stride, tile.offset, head * Tiles::dim);
  const head_rows d_o(args.d_o, args.d_o_stride, tile.offset, head * Tiles::dim);
  const tile_walk walk =
      is_active(in, tile.sequence, head) ? walk_keys(in.mask, tile, Tiles::columns) : tile_walk{};
  const int valid = static_cast<int>(tile.last - tile.first);
  begin_rows<Tiles::rows, Tiles::dim, Tiles::threads>(
      memory.kept, queries.at(tile.first), queries.stride, valid);
  begin_rows<Tiles::rows, Tiles::dim, Tiles::threads>(
      memory.kept_second(), d_o.at(tile.first), d_o.stride, valid);
  if (walk.count > 0) begin_passing_keys(memory, keys, values, tile.length, walk, 0);
  commit_copies();

  const warp_rows rows = rows_of_warp<Tiles>(tile);
  const saved_rows<Rule, Tiles::strips> saved(args, tile, rows, head);
  const score_rule rule(in.scores, head, Rule::unit);
  const int warp_row = static_cast<int>(warp()) * 16 * Tiles::strips;
  for (std::uint32_t k = 0; k < walk.count; ++k) {
    if (k + 1 < walk.count) begin_passing_keys(memory, keys, values, tile.length, walk, k + 1);
    commit_copies();
    wait_copies<1>();
    sync_block();
    const std::int32_t j = static_cast<std::int32_t>(walk.at(k)) * Tiles::columns;
    const auto length = static_cast<std::int32_t>(tile.length);
    const tile_meeting at = {
        rows.first, rows.last, j, length < j + Tiles::columns ? length : j + Tiles::columns};
    if (at.i < at.i_end && !none_seen(in.mask, at.i, at.i_end, at.j, at.j_end)) {
      accumulators<Tiles::strips, Tiles::columns / 8> scores;
      accumulators<Tiles::strips, Tiles::columns / 8> products;
      clear(scores);
      clear(products);
      multiply_by_rows<Element, Tiles::dim>(
          scores,
          [&](int s, int kk, std::uint32_t(&to)[4]) {
            load_left<Tiles::dim>(to, memory.kept, warp_row + 16 * s, 16 * kk);
          },
          memory.first(k));
      multiply_by_rows<Element, Tiles::dim>(
          products,
          [&](int s, int kk, std::uint32_t(&to)[4]) {
            load_left<Tiles::dim>(to, memory.kept_second(), warp_row + 16 * s, 16 * kk);
          },
          memory.second(k));
      finish_scores<false>(scores, rule, in.mask, at, Rule::hidden);
      score_gradients(scores, products, saved);
      take(scores, at, k);
    }
    after(at);
    sync_block();  // the next round loads over these tiles
  }
  wait_copies<0>();
}

/// All of a block's work: dq is `factor` dS K.
template <class Element, class Rule, class Tiles>
HEADRACE_DEVICE void add_query_gradients(const attention_backward_view& args,
                                         const sequence_tile& tile,
                                         float factor) {
  const unsigned head = block_index().y;
  const gradient_memory<Tiles> memory(shared_memory());
  accumulators<Tiles::strips, Tiles::dim / 8> gradient;
  clear(gradient);
  walk_score_gradients<Element, Rule>(
      args,
      tile,
      head,
      memory,
      [&](const accumulators<Tiles::strips, Tiles::columns / 8>& score_gradient,
          const tile_meeting&,
          std::uint32_t k) {
        multiply_by_columns<Element, Tiles::columns>(
            gradient,
            [&](int s, int kk, std::uint32_t(&to)[4]) {
              left_of<Element>(score_gradient[s], kk, to);
            },
            memory.first(k));
      },
      [](const tile_meeting&) {});
  sync_block();  // the last copies into kept rows, of a tile that saw nothing,
                 // are others' too
  const warp_rows rows = rows_of_warp<Tiles>(tile);
  const std::size_t token = tile.offset + static_cast<std::size_t>(rows.first);
  store_gradient<Element, Tiles>(gradient,
                                 factor,
                                 memory.kept + (rows.first - tile.first) * Tiles::pitch,
                                 args.dq + token * args.dq_stride + head * Tiles::dim,
                                 args.dq_stride,
                                 rows.last - rows.first);
}

}  // namespace device

/// Grid: tile_numbers(tokens, sequences, rows) by heads, of Tiles::threads threads. Needs `dots`.
template <class Element, class Tiles>
HEADRACE_KERNEL_OF(Tiles::threads, Tiles::blocks)
void query_gradient_kernel(attention_backward_view args) {
  using namespace device;
  const attention_view& in = args.forward;
  const sequence_tile tile = find_tile(in.offsets, in.sequences, block_index().x, Tiles::rows);
  if (tile.empty()) return;
  add_query_gradients<Element, softmax_rule, Tiles>(args, tile, in.scores.scale);
}

}  // namespace headrace::kernels
