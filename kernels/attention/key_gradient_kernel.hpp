#pragma once

#include "kernels/attention/gradient_device.hpp"

#include <cstddef>
#include <cstdint>

/// dk and dv of attention on matrix units: dV = Pᵀ d_o, dK = scale dSᵀ Q. A block keeps a tile of
/// keys and of values of one key head, a warp some of their rows, and walks over the queries that
/// see them, a head that shares the key head after another: sums in a fixed order, in registers.
namespace headrace::kernels {
namespace device {

/// Where a block is on its way: head by head of those that share its key head and are active, and
/// of each the tiles of a walk.
struct query_steps {
  const attention_view* args = nullptr;
  std::uint32_t sequence = 0;
  tile_walk walk;
  unsigned head = 0;
  unsigned head_end = 0;
  std::uint32_t k = 0;

  HEADRACE_DEVICE query_steps(const attention_view& of,
                              const sequence_tile& tile,
                              unsigned kv_head,
                              std::uint32_t queries)
      : args(&of),
        sequence(tile.sequence),
        walk(walk_queries(of.mask, tile, queries)),
        head(kv_head * (of.heads / of.kv_heads)),
        head_end(head + of.heads / of.kv_heads) {
    if (walk.count == 0) head = head_end;
    skip_inactive();
  }
  HEADRACE_DEVICE bool ended() const { return head >= head_end; }
  HEADRACE_DEVICE void advance() {
    if (++k < walk.count) return;
    k = 0;
    ++head;
    skip_inactive();
  }
  HEADRACE_DEVICE void skip_inactive() {
    while (head < head_end && !is_active(*args, sequence, head)) ++head;
  }
};

/// Begins to load a step's tiles of queries and of d_o; one group of copies.
template <class Tiles>
HEADRACE_DEVICE void begin_passing_queries(const attention_backward_view& args,
                                           const gradient_memory<Tiles>& memory,
                                           const sequence_tile& tile,
                                           const query_steps& at,
                                           std::uint32_t step) {
  const std::uint32_t first = at.walk.at(at.k) * Tiles::columns;
  const int valid = static_cast<int>(tile.length - first);
  const std::size_t head_at = at.head * Tiles::dim;
  const head_rows queries(args.forward.q, args.forward.q_stride, tile.offset, head_at);
  const head_rows d_o(args.d_o, args.d_o_stride, tile.offset, head_at);
  begin_rows<Tiles::columns, Tiles::dim, Tiles::threads>(
      memory.first(step), queries.at(first), queries.stride, valid);
  begin_rows<Tiles::columns, Tiles::dim, Tiles::threads>(
      memory.second(step), d_o.at(first), d_o.stride, valid);
}

/// What a step's queries saved: the first threads carry one each, from before the products of the
/// step before until after them. Beyond the sequence anything finite will do.
template <class Rule>
struct saved_query {
  float log_sum = 0;
  float dot = 0;

  template <class Tiles>
  HEADRACE_DEVICE void load(const attention_backward_view& args,
                            const sequence_tile& tile,
                            const query_steps& at) {
    static_assert(Tiles::columns <= Tiles::threads);
    const std::uint32_t i = at.walk.at(at.k) * Tiles::columns + thread_index();
    if (!Rule::reads_saved || thread_index() >= Tiles::columns || i >= tile.length) return;
    const std::size_t row =
        static_cast<std::size_t>(tile.offset + i) * args.forward.heads + at.head;
    log_sum = base_2(args.forward.lse[row]);
    dot = args.dots[row];
  }
  template <class Tiles>
  HEADRACE_DEVICE void store(const gradient_memory<Tiles>& memory, std::uint32_t step) const {
    if (!Rule::reads_saved || thread_index() >= Tiles::columns) return;
    memory.log_sums(step)[thread_index()] = log_sum;
    memory.dots(step)[thread_index()] = dot;
  }
};

/// One step of a warp: adds a tile of queries to dk and dv.
template <class Element, class Rule, class Tiles>
HEADRACE_DEVICE void add_queries(const gradient_memory<Tiles>& memory,
                                 std::uint32_t step,
                                 const score_rule& rule,
                                 const narrow_mask& mask,
                                 const tile_meeting& at,
                                 accumulators<Tiles::strips, Tiles::dim / 8>& d_keys,
                                 accumulators<Tiles::strips, Tiles::dim / 8>& d_values) {
  constexpr int strips = Tiles::strips;
  constexpr int eights = Tiles::columns / 8;
  const int warp_row = static_cast<int>(warp()) * 16 * strips;
  accumulators<strips, eights> prepared;
  clear(prepared);
  multiply_by_rows<Element, Tiles::dim>(
      prepared,
      [&](int s, int kk, std::uint32_t(&to)[4]) {
        load_left<Tiles::dim>(to, memory.kept, warp_row + 16 * s, 16 * kk);
      },
      memory.first(step));
  finish_scores<true>(prepared, rule, mask, at, Rule::hidden);
  const float* log_sums = memory.log_sums(step);
  HEADRACE_UNROLL
  for (int s = 0; s < strips; ++s) {
    HEADRACE_UNROLL
    for (int n = 0; n < eights; ++n) {
      HEADRACE_UNROLL
      for (int e = 0; e < 4; ++e)
        prepared[s][n][e] = Rule::prepare(
            prepared[s][n][e], Rule::reads_saved ? log_sums[8 * n + column_of(e)] : 0.0F);
    }
  }
  multiply_by_columns<Element, Tiles::columns>(
      d_values,
      [&](int s, int kk, std::uint32_t(&to)[4]) {
        float weights[2][4];
        HEADRACE_UNROLL
        for (int n = 0; n < 2; ++n) {
          HEADRACE_UNROLL
          for (int e = 0; e < 4; ++e) weights[n][e] = Rule::weight(prepared[s][2 * kk + n][e]);
        }
        left_of<Element>(weights, 0, to);
      },
      memory.second(step));

  accumulators<strips, eights> products;
  clear(products);
  multiply_by_rows<Element, Tiles::dim>(
      products,
      [&](int s, int kk, std::uint32_t(&to)[4]) {
        load_left<Tiles::dim>(to, memory.kept_second(), warp_row + 16 * s, 16 * kk);
      },
      memory.second(step));
  const float* dots = memory.dots(step);
  HEADRACE_UNROLL
  for (int s = 0; s < strips; ++s) {
    HEADRACE_UNROLL
    for (int n = 0; n < eights; ++n) {
      HEADRACE_UNROLL
      for (int e = 0; e < 4; ++e)
        prepared[s][n][e] = Rule::gradient(prepared[s][n][e],
                                           products[s][n][e],
                                           Rule::reads_saved ? dots[8 * n + column_of(e)] : 0.0F);
    }
  }
  multiply_by_columns<Element, Tiles::columns>(
      d_keys,
      [&](int s, int kk, std::uint32_t(&to)[4]) { left_of<Element>(prepared[s], kk, to); },
      memory.first(step));
}

/// All of a block's work: dv is `share` Aᵀ d_o with the weights A, dk is `share` scale dSᵀ Q.
template <class Element, class Rule, class Tiles>
HEADRACE_DEVICE void add_key_gradients(const attention_backward_view& args,
                                       const sequence_tile& tile,
                                       float share) {
  constexpr int eights = Tiles::dim / 8;
  const attention_view& in = args.forward;
  const unsigned kv_head = block_index().y;
  const std::size_t kv_at = kv_head * Tiles::dim;
  const gradient_memory<Tiles> memory(shared_memory());
  const head_rows keys(in.k, in.k_stride, tile.offset, kv_at);
  const head_rows values(in.v, in.v_stride, tile.offset, kv_at);
  const int valid = static_cast<int>(tile.last - tile.first);
  begin_rows<Tiles::rows, Tiles::dim, Tiles::threads>(
      memory.kept, keys.at(tile.first), keys.stride, valid);
  begin_rows<Tiles::rows, Tiles::dim, Tiles::threads>(
      memory.kept_second(), values.at(tile.first), values.stride, valid);
  query_steps now(in, tile, kv_head, Tiles::columns);
  saved_query<Rule> saved;
  if (!now.ended()) {
    begin_passing_queries(args, memory, tile, now, 0);
    saved.template load<Tiles>(args, tile, now);
    saved.store(memory, 0);
  }
  commit_copies();

  accumulators<Tiles::strips, eights> d_keys;
  accumulators<Tiles::strips, eights> d_values;
  clear(d_keys);
  clear(d_values);
  const warp_rows rows = rows_of_warp<Tiles>(tile);
  for (std::uint32_t step = 0; !now.ended(); ++step) {
    query_steps next = now;
    next.advance();
    if (!next.ended()) {
      begin_passing_queries(args, memory, tile, next, step + 1);
      saved.template load<Tiles>(args, tile, next);
    }
    commit_copies();
    wait_copies<1>();
    sync_block();
    const std::int32_t i = static_cast<std::int32_t>(now.walk.at(now.k)) * Tiles::columns;
    const auto length = static_cast<std::int32_t>(tile.length);
    const tile_meeting at = {
        i, length < i + Tiles::columns ? length : i + Tiles::columns, rows.first, rows.last};
    if (at.j < at.j_end && !none_seen(in.mask, at.i, at.i_end, at.j, at.j_end)) {
      const score_rule rule(in.scores, now.head, Rule::unit);
      add_queries<Element, Rule>(memory, step, rule, in.mask, at, d_keys, d_values);
    }
    saved.store(memory, step + 1);
    sync_block();  // the next round loads over these tiles
    now = next;
  }
  wait_copies<0>();
  sync_block();  // the kept tiles, where nothing was seen
  const std::size_t token = tile.offset + static_cast<std::size_t>(rows.first);
  const int mine = rows.last - rows.first;
  const std::size_t through = static_cast<std::size_t>(rows.first - tile.first) * Tiles::pitch;
  store_gradient<Element, Tiles>(d_keys,
                                 in.scores.scale * share,
                                 memory.kept + through,
                                 args.dk + token * args.dk_stride + kv_at,
                                 args.dk_stride,
                                 mine);
  store_gradient<Element, Tiles>(d_values,
                                 share,
                                 memory.kept_second() + through,
                                 args.dv + token * args.dv_stride + kv_at,
                                 args.dv_stride,
                                 mine);
}

}  // namespace device

/// Grid: tile_numbers(tokens, sequences, rows) by key heads, of Tiles::threads threads. Needs
/// `dots`.
template <class Element, class Tiles>
HEADRACE_KERNEL_OF(Tiles::threads, Tiles::blocks)
void key_gradient_kernel(attention_backward_view args) {
  const sequence_tile tile = device::find_tile(
      args.forward.offsets, args.forward.sequences, device::block_index().x, Tiles::rows);
  if (tile.empty()) return;
  device::add_key_gradients<Element, device::softmax_rule, Tiles>(args, tile, 1.0F);
}

}  // namespace headrace::kernels
