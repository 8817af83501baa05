#pragma once

#include "kernels/attention/attention_kernel.hpp"
#include "kernels/runtime/hopper.hpp"

#include <cstddef>
#include <cstdint>

/// Attention's forward pass on the matrix units of sm_90a: FlashAttention-3 (Shah et al., arXiv
/// 2407.08608, algorithm 2) over ragged tiles, with attention_kernel.hpp's schedule, scores and
/// softmax.
///
/// A block has 128 queries of one sequence and head. One warp brings queries, keys and values
/// (TMA); two warpgroups have 64 queries each. While a warpgroup turns the scores of one tile of
/// keys into weights, the product of the last tile's weights with its values is under way. Every
/// order is fixed: the same call gives the same bits.
namespace headrace::kernels {

/// Sizes of a block's work; `strips` of a warp, as store_attention has it.
template <int head_dim>
struct attention_90a_tiles {
  static constexpr int dim = head_dim;
  static constexpr int strips = 1;
  static constexpr int rows = 128;
  static constexpr int keys = 128;
  static constexpr int stages = 2;
  static constexpr int threads = 3 * 128;
  static constexpr int multipliers = 2 * 128;
  static constexpr int pitch = device::tile_pitch<dim>;
  static constexpr std::uint32_t strip_bytes = keys * line_bytes;  // 64 columns of a tile
  static constexpr std::uint32_t tile_bytes = dim / 64 * strip_bytes;
  static_assert(rows == keys);
  static constexpr std::size_t shared_bytes =
      group_bytes + (1 + 2 * stages) * tile_bytes + 8 * 16 * pitch * 2 + (1 + 4 * stages) * 8;
  static_assert(shared_bytes <= 227 * 1024);
};

/// An attention_view and its tensors, [tokens, heads of it * dim], in boxes of 128 lines.
struct attention_90a_view {
  tensor_map q;
  tensor_map k;
  tensor_map v;
  attention_view of;
};

namespace device {

/// A block's shared memory: queries, stages of keys, stages of values, 16 rows of output a warp,
/// barriers.
template <class Tiles>
struct attention_90a_memory {
  std::byte* at;

  HEADRACE_DEVICE attention_90a_memory() : at(align_shared(shared_memory())) {}
  HEADRACE_DEVICE std::byte* queries() const { return at; }
  HEADRACE_DEVICE std::byte* keys(std::uint32_t stage) const {
    return at + (1 + stage) * Tiles::tile_bytes;
  }
  HEADRACE_DEVICE std::byte* values(std::uint32_t stage) const {
    return keys(Tiles::stages + stage);
  }
  HEADRACE_DEVICE std::uint16_t* output(unsigned number) const {
    return reinterpret_cast<std::uint16_t*>(values(Tiles::stages)) + number * 16 * Tiles::pitch;
  }
  HEADRACE_DEVICE barrier_word* queries_full() const {
    return reinterpret_cast<barrier_word*>(output(8));
  }
  HEADRACE_DEVICE barrier_word* keys_full(std::uint32_t stage) const {
    return queries_full() + 1 + stage;
  }
  HEADRACE_DEVICE barrier_word* values_full(std::uint32_t stage) const {
    return keys_full(Tiles::stages + stage);
  }
  HEADRACE_DEVICE barrier_word* keys_empty(std::uint32_t stage) const {
    return keys_full(2 * Tiles::stages + stage);
  }
  HEADRACE_DEVICE barrier_word* values_empty(std::uint32_t stage) const {
    return keys_full(3 * Tiles::stages + stage);
  }
};

/// One thread brings 128 rows of a head.
template <class Tiles>
HEADRACE_DEVICE void bring_rows(std::byte* to,
                                const tensor_map& map,
                                unsigned head,
                                std::uint32_t token,
                                barrier_word* barrier) {
  arrive_expecting(barrier, Tiles::tile_bytes);
  HEADRACE_UNROLL
  for (int strip = 0; strip < Tiles::dim / 64; ++strip) {
    load_tile(to + strip * Tiles::strip_bytes,
              map,
              static_cast<int>(head) * Tiles::dim + 64 * strip,
              static_cast<int>(token),
              0,
              barrier);
  }
}

/// The warp that brings queries, keys and values.
template <class Tiles>
HEADRACE_DEVICE void bring_attention(const attention_90a_view& args,
                                     const attention_90a_memory<Tiles>& memory,
                                     const sequence_tile& tile,
                                     const tile_walk& walk) {
  const unsigned head = block_index().y;
  const unsigned kv_head = head / (args.of.heads / args.of.kv_heads);
  if (walk.count > 0 && elect_one()) {
    bring_rows<Tiles>(
        memory.queries(), args.q, head, tile.offset + tile.first, memory.queries_full());
  }
  stage_ring<Tiles::stages> ring;
  for (std::uint32_t k = 0; k < walk.count; ++k) {
    const std::uint32_t token = tile.offset + walk.at(k) * Tiles::keys;
    wait_phase(memory.keys_empty(ring.stage), ring.free());
    if (elect_one()) {
      bring_rows<Tiles>(
          memory.keys(ring.stage), args.k, kv_head, token, memory.keys_full(ring.stage));
    }
    wait_phase(memory.values_empty(ring.stage), ring.free());
    if (elect_one()) {
      bring_rows<Tiles>(
          memory.values(ring.stage), args.v, kv_head, token, memory.values_full(ring.stage));
    }
    ring.advance();
  }
}

/// Accumulators as a warpgroup's products have them: the same values in the same order.
template <int eights>
HEADRACE_DEVICE float (&flat(accumulators<1, eights>& c))[4 * eights] {
  return reinterpret_cast<float(&)[4 * eights]>(c);
}

/// A warpgroup begins the products of its queries with a tile of keys.
template <class Element, class Tiles>
HEADRACE_DEVICE void begin_scores(accumulators<1, Tiles::keys / 8>& scores,
                                  const attention_90a_memory<Tiles>& memory,
                                  const stage_ring<Tiles::stages>& ring) {
  wait_phase(memory.keys_full(ring.stage), ring.parity);
  const std::uint32_t queries =
      shared_address(memory.queries()) + (warpgroup() - 1) * 64 * line_bytes;
  const std::uint32_t keys = shared_address(memory.keys(ring.stage));
  begin_products(flat<Tiles::keys / 8>(scores));
  HEADRACE_UNROLL
  for (std::uint32_t kk = 0; kk < Tiles::dim / 16; ++kk) {
    const std::uint32_t skipped =
        kk / 4 * Tiles::strip_bytes + kk % 4 * next_depth_bytes(operand_major::k);
    multiply_tiles<Element, operand_major::k, operand_major::k>(
        flat<Tiles::keys / 8>(scores),
        operand_descriptor(queries + skipped, 0),
        operand_descriptor(keys + skipped, 0),
        kk > 0);
  }
  commit_products();
}

/// Zeros instead of values behind a sequence's last, which are another's and might not be finite.
template <class Tiles>
HEADRACE_DEVICE void clear_values(std::byte* values, std::uint32_t valid) {
  constexpr std::uint32_t strips = Tiles::dim / 64;
  const std::uint32_t count = (Tiles::keys - valid) * strips * 8;
  for (std::uint32_t i = thread_index() - 128; i < count; i += Tiles::multipliers) {
    const std::uint32_t line = valid + i / 8 / strips;
    store_16(values + i / 8 % strips * Tiles::strip_bytes + line * line_bytes + i % 8 * 16,
             words_4{});
  }
  fence_async();
  sync_named(1, Tiles::multipliers);
}

/// A warpgroup begins to add a tile's values, weighted, `valid` of them of its sequence.
template <class Element, class Tiles>
HEADRACE_DEVICE void begin_output(accumulators<1, Tiles::dim / 8>& out,
                                  std::uint32_t (&weights)[Tiles::keys / 16][4],
                                  const attention_90a_memory<Tiles>& memory,
                                  const stage_ring<Tiles::stages>& ring,
                                  std::uint32_t valid) {
  wait_phase(memory.values_full(ring.stage), ring.parity);
  if (valid < Tiles::keys) clear_values<Tiles>(memory.values(ring.stage), valid);
  const std::uint32_t values = shared_address(memory.values(ring.stage));
  hold_operands(weights);
  begin_products(flat<Tiles::dim / 8>(out));
  HEADRACE_UNROLL
  for (std::uint32_t kk = 0; kk < Tiles::keys / 16; ++kk) {
    multiply_registers<Element, operand_major::mn>(
        flat<Tiles::dim / 8>(out),
        weights[kk],
        operand_descriptor(values + kk * next_depth_bytes(operand_major::mn), Tiles::strip_bytes),
        true);
  }
  commit_products();
}

/// The rows of this thread's warp and tile k of a walk.
template <class Tiles>
HEADRACE_DEVICE tile_meeting meeting_of(const sequence_tile& tile,
                                        const tile_walk& walk,
                                        std::uint32_t k) {
  const std::uint32_t i = tile.first + (warp() - 4) * 16;
  const std::uint32_t j = walk.at(k) * Tiles::keys;
  return {static_cast<std::int32_t>(i),
          static_cast<std::int32_t>(tile.last < i + 16 ? tile.last : i + 16),
          static_cast<std::int32_t>(j),
          static_cast<std::int32_t>(tile.length < j + Tiles::keys ? tile.length : j + Tiles::keys)};
}

/// Scores become weights, rounded; `fades`: what sums so far must be multiplied by.
template <class Element, class Tiles>
struct weighing {
  score_rule rule;
  narrow_mask mask;
  running_softmax<1> softmax = {};
  std::uint32_t weights[Tiles::keys / 16][4] = {};
  float fades[2] = {1, 1};

  HEADRACE_DEVICE void take(accumulators<1, Tiles::keys / 8>& scores, const tile_meeting& at) {
    finish_scores<false, running_softmax<1>::folds>(
        scores, rule, mask, at, running_softmax<1>::hidden);
    HEADRACE_UNROLL
    for (int h = 0; h < 2; ++h)
      fades[h] =
          softmax.weigh_row(scores[0], softmax.largest[0][h], softmax.sum[0][h], h, rule.left());
  }
  HEADRACE_DEVICE void round(const accumulators<1, Tiles::keys / 8>& scores) {
    HEADRACE_UNROLL
    for (int kk = 0; kk < Tiles::keys / 16; ++kk) left_of<Element>(scores[0], kk, weights[kk]);
  }
  HEADRACE_DEVICE void fade(accumulators<1, Tiles::dim / 8>& out) const {
    HEADRACE_UNROLL
    for (int n = 0; n < Tiles::dim / 8; ++n) {
      HEADRACE_UNROLL
      for (int e = 0; e < 4; ++e) out[0][n][e] *= fades[e / 2];
    }
  }
};

/// The two warpgroups' turns to begin products: the first has the first, and each gives the turn to
/// the other; both take the same number.
template <class Tiles>
struct product_turns {
  HEADRACE_DEVICE static unsigned barrier_of(unsigned group) { return 1 + group; }

  HEADRACE_DEVICE static void open() {
    if (warpgroup() == 2) arrive_named(barrier_of(1), Tiles::multipliers);
  }
  HEADRACE_DEVICE static void take() { sync_named(barrier_of(warpgroup()), Tiles::multipliers); }
  HEADRACE_DEVICE static void give(bool is_last) {
    if (warpgroup() == 2 && is_last) return;  // the first takes none after its last
    arrive_named(barrier_of(3 - warpgroup()), Tiles::multipliers);
  }
};

/// A warpgroup that multiplies.
template <class Element, class Tiles>
HEADRACE_DEVICE void attend_90a(const attention_view& args,
                                const attention_90a_memory<Tiles>& memory,
                                const sequence_tile& tile,
                                const tile_walk& walk) {
  constexpr int eights = Tiles::keys / 8;
  weighing<Element, Tiles> state{
      score_rule(args.scores, block_index().y, running_softmax<1>::unit, running_softmax<1>::folds),
      args.mask};
  accumulators<1, Tiles::dim / 8> out;
  clear(out);
  if (walk.count > 0) {
    stage_ring<Tiles::stages> keys;
    stage_ring<Tiles::stages> values;
    wait_phase(memory.queries_full(), 0);
    accumulators<1, eights> scores;
    begin_scores<Element, Tiles>(scores, memory, keys);
    wait_products<0>(flat<eights>(scores));
    if (lane() == 0) arrive(memory.keys_empty(keys.stage));
    state.take(scores, meeting_of<Tiles>(tile, walk, 0));
    state.round(scores);
    if (walk.count > 1) product_turns<Tiles>::open();
    for (std::uint32_t k = 1; k < walk.count; ++k) {
      keys.advance();
      product_turns<Tiles>::take();
      begin_scores<Element, Tiles>(scores, memory, keys);
      begin_output<Element, Tiles>(out, state.weights, memory, values, Tiles::keys);
      product_turns<Tiles>::give(k + 1 == walk.count);
      wait_products<1>(flat<eights>(scores));
      if (lane() == 0) arrive(memory.keys_empty(keys.stage));
      state.take(scores, meeting_of<Tiles>(tile, walk, k));
      wait_products<0>(flat<Tiles::dim / 8>(out));
      hold_operands(state.weights);
      if (lane() == 0) arrive(memory.values_empty(values.stage));
      values.advance();
      state.fade(out);
      state.round(scores);
    }
    const tile_meeting last = meeting_of<Tiles>(tile, walk, walk.count - 1);
    begin_output<Element, Tiles>(
        out, state.weights, memory, values, static_cast<std::uint32_t>(last.j_end - last.j));
    wait_products<0>(flat<Tiles::dim / 8>(out));
    hold_operands(state.weights);
  }
  store_attention<Element, Tiles>(
      args, tile, memory.output(warp() - 4), out, state.softmax, tile.first + (warp() - 4) * 16);
}

}  // namespace device

/// Grid: tile_numbers(tokens, sequences, 128) by heads, of 3 * 128 threads.
template <class Element, class Tiles>
HEADRACE_KERNEL_OF(3 * 128, 1)
void attention_90a_kernel(const HEADRACE_GRID_CONSTANT attention_90a_view args) {
  using namespace device;
  const attention_90a_memory<Tiles> memory;
  const sequence_tile tile =
      find_tile(args.of.offsets, args.of.sequences, block_index().x, Tiles::rows);
  if (tile.empty()) return;
  if (thread_index() == 0) {
    for (std::uint32_t i = 0; i < 1 + 2 * Tiles::stages; ++i)
      init_barrier(memory.queries_full() + i, 1);
    for (std::uint32_t i = 0; i < 2 * Tiles::stages; ++i)
      init_barrier(memory.keys_empty(i), Tiles::multipliers / warp_threads);
    fence_barriers();
  }
  sync_block();
  const tile_walk walk = is_active(args.of, tile.sequence, block_index().y)
                             ? walk_keys(args.of.mask, tile, Tiles::keys)
                             : tile_walk{};
  if (warpgroup() == 0) {  // 65,536 registers: 128 * 40 + 256 * 232
    registers_down<40>();
    if (warp() == 0) bring_attention<Tiles>(args, memory, tile, walk);
  } else {
    registers_up<232>();
    attend_90a<Element, Tiles>(args.of, memory, tile, walk);
  }
}

}  // namespace headrace::kernels
