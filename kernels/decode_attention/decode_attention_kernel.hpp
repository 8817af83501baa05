#pragma once

#include "kernels/attention/attention_kernel.hpp"
#include "kernels/decode_attention/decode_split.hpp"

#include <cstddef>
#include <cstdint>

/// decode_attention on matrix units: the cache is read once, and that is what takes the time.
///
/// A block has one key head of a sequence, a piece of its slots, and up to 16 of the heads that
/// share it, which are the rows of its products. Its warps take tiles of slots in turn, each with
/// two buffers of its own and a softmax of its own, and merge at the end; where slots are split
/// among blocks, a second kernel merges these. Both merge in a fixed order.
namespace headrace::kernels {

struct decode_view {
  const std::uint16_t* q = nullptr;  // [sequences, heads, head_dim], as o
  const std::uint16_t* keys = nullptr;
  const std::uint16_t* values = nullptr;
  const std::uint32_t* lengths = nullptr;
  std::uint32_t sequences = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t slots = 0;  // of the cache, of each key head
  std::uint32_t slots_begin = 0;
  std::uint32_t slots_end = 0;
  float scale = 1;
  std::uint32_t splits = 1;
  std::uint16_t* o = nullptr;
  float* lse = nullptr;
  /// Where splits > 1: [splits, sequences, heads, head_dim] and [splits, sequences, heads].
  float* pieces = nullptr;
  float* piece_sums = nullptr;  // base 2
};

inline constexpr unsigned decode_heads = 16;  // that a block takes
inline constexpr unsigned decode_warps = 4;

template <int head_dim>
struct decode_tiles {
  static constexpr int dim = head_dim;
  static constexpr int pitch = device::tile_pitch<dim>;
  static constexpr int threads = 32 * decode_warps;
  static constexpr int tile = decode_slots * pitch;  // elements, of keys or of values
  static constexpr std::size_t shared_bytes = sizeof(std::uint16_t) * decode_warps * 4 * tile;
  /// The warps' results take the place of their buffers.
  static_assert(sizeof(float) * decode_warps * decode_heads * (dim + 2) <= shared_bytes);
};

namespace device {

/// Which heads of which sequence a block has.
struct decode_place {
  std::uint32_t sequence = 0;
  std::uint32_t kv_head = 0;
  std::uint32_t head = 0;   // the first
  std::uint32_t count = 0;  // 1 to 16
  slot_range slots;

  HEADRACE_DEVICE explicit decode_place(const decode_view& args) : sequence(block_index().z) {
    const std::uint32_t group = args.heads / args.kv_heads;
    const std::uint32_t parts = (group + decode_heads - 1) / decode_heads;
    kv_head = block_index().y / parts;
    const std::uint32_t before = block_index().y % parts * decode_heads;
    head = kv_head * group + before;
    count = group - before < decode_heads ? group - before : decode_heads;
    const std::uint32_t length = args.lengths[sequence];
    const std::uint32_t live = length < args.slots ? length : args.slots;
    const std::uint32_t end = args.slots_end < live ? args.slots_end : live;
    slots = split_slots(args.slots_begin, end, block_index().x, args.splits);
  }
};

/// The queries of a block's heads as left operands; zeros for rows beyond them.
template <int dim>
HEADRACE_DEVICE void load_decode_queries(std::uint32_t (&to)[dim / 16][4],
                                         const decode_view& args,
                                         const decode_place& place) {
  const std::size_t first = static_cast<std::size_t>(place.sequence) * args.heads + place.head;
  HEADRACE_UNROLL
  for (int kk = 0; kk < dim / 16; ++kk) {
    HEADRACE_UNROLL
    for (int w = 0; w < 4; ++w) {
      const std::uint32_t row = row_of(w % 2 * 2);
      const std::uint16_t* at = args.q + (first + row) * dim + 16 * kk + column_of(0) + w / 2 * 8;
      to[kk][w] = row < place.count ? *reinterpret_cast<const std::uint32_t*>(at) : 0U;
    }
  }
}

/// One warp's walk over its share of the slots: every fourth tile.
template <class Element, class Tiles>
HEADRACE_DEVICE void walk_slots(const decode_view& args,
                                const decode_place& place,
                                running_softmax<1>& softmax,
                                accumulators<1, Tiles::dim / 8>& out) {
  constexpr int dim = Tiles::dim;
  auto* mine = reinterpret_cast<std::uint16_t*>(shared_memory()) + warp() * 4 * Tiles::tile;
  const std::size_t head_at =
      (static_cast<std::size_t>(place.sequence) * args.kv_heads + place.kv_head) * args.slots;
  const auto begin = [&](std::uint32_t slot, std::uint32_t step) {
    std::uint16_t* keys = mine + step % 2 * 2 * Tiles::tile;
    const std::size_t at = (head_at + slot) * dim;
    const int valid = static_cast<int>(place.slots.end - slot);
    begin_rows<decode_slots, dim, 32>(keys, args.keys + at, dim, valid, lane());
    begin_rows<decode_slots, dim, 32>(keys + Tiles::tile, args.values + at, dim, valid, lane());
  };
  std::uint32_t queries[dim / 16][4];
  load_decode_queries<dim>(queries, args, place);
  const float scale = args.scale * log2_e;
  constexpr std::uint32_t stride = decode_warps * decode_slots;
  std::uint32_t slot = place.slots.begin + warp() * decode_slots;
  if (slot < place.slots.end) begin(slot, 0);
  commit_copies();
  for (std::uint32_t step = 0; slot < place.slots.end; slot += stride, ++step) {
    if (slot + stride < place.slots.end) begin(slot + stride, step + 1);
    commit_copies();
    wait_copies<1>();
    sync_warp();
    const std::uint16_t* keys = mine + step % 2 * 2 * Tiles::tile;
    accumulators<1, decode_slots / 8> scores;
    clear(scores);
    multiply_by_rows<Element, dim>(
        scores,
        [&](int, int kk, std::uint32_t(&to)[4]) {
          HEADRACE_UNROLL
          for (int w = 0; w < 4; ++w) to[w] = queries[kk][w];
        },
        keys);
    HEADRACE_UNROLL
    for (int n = 0; n < static_cast<int>(decode_slots) / 8; ++n) {
      HEADRACE_UNROLL
      for (int e = 0; e < 4; ++e) {
        const bool live = slot + 8 * n + column_of(e) < place.slots.end;
        scores[0][n][e] = live ? scores[0][n][e] * scale : nothing;
      }
    }
    softmax.take(scores, out, 1.0F);
    multiply_by_columns<Element, decode_slots>(
        out,
        [&](int s, int kk, std::uint32_t(&to)[4]) { left_of<Element>(scores[s], kk, to); },
        keys + Tiles::tile);
    sync_warp();  // the next round loads over these tiles
  }
  wait_copies<0>();
}

/// Where the warps of a block leave their results: sums of values, then of each row the largest
/// score and the sum of weights.
template <class Tiles>
struct decode_results {
  float* out;
  float* largest;
  float* sums;

  HEADRACE_DEVICE explicit decode_results(std::byte* at)
      : out(reinterpret_cast<float*>(at)),
        largest(out + decode_warps * decode_heads * Tiles::dim),
        sums(largest + decode_warps * decode_heads) {}
};

template <class Tiles>
HEADRACE_DEVICE void put_result(const decode_results<Tiles>& to,
                                const running_softmax<1>& softmax,
                                const accumulators<1, Tiles::dim / 8>& out) {
  HEADRACE_UNROLL
  for (int h = 0; h < 2; ++h) {
    const int row = static_cast<int>(warp() * decode_heads) + row_of(2 * h);
    const float sum = softmax.row_sum(0, h);
    if (lane() % 4 == 0) {
      to.largest[row] = softmax.largest[0][h];
      to.sums[row] = sum;
    }
  }
  HEADRACE_UNROLL
  for (int n = 0; n < Tiles::dim / 8; ++n) {
    HEADRACE_UNROLL
    for (int e = 0; e < 4; ++e) {
      const int row = static_cast<int>(warp() * decode_heads) + row_of(e);
      to.out[row * Tiles::dim + 8 * n + column_of(e)] = out[0][n][e];
    }
  }
}

/// A number in the element format.
template <class Element>
HEADRACE_DEVICE std::uint16_t rounded(float value) {
  return static_cast<std::uint16_t>(pack<Element>(value, 0.0F) & 0xFFFFU);
}

/// Merges the warps' results of a block's heads, in the order of the warps.
template <class Element, class Tiles>
HEADRACE_DEVICE void merge_warps(const decode_view& args,
                                 const decode_place& place,
                                 const decode_results<Tiles>& of) {
  constexpr unsigned dim = Tiles::dim;
  const std::size_t rows = static_cast<std::size_t>(args.sequences) * args.heads;
  const std::size_t first = static_cast<std::size_t>(place.sequence) * args.heads + place.head;
  for (unsigned at = thread_index(); at < place.count * dim; at += Tiles::threads) {
    const unsigned row = at / dim;
    float most = nothing;
    for (unsigned w = 0; w < decode_warps; ++w) {
      const float other = of.largest[w * decode_heads + row];
      most = other > most ? other : most;
    }
    float sum = 0.0F;
    float value = 0.0F;
    for (unsigned w = 0; w < decode_warps; ++w) {
      const unsigned part = w * decode_heads + row;
      const float weight = most == nothing ? 0.0F : exp2(of.largest[part] - most);
      sum += weight * of.sums[part];
      value += weight * of.out[part * dim + at % dim];
    }
    value = sum == 0.0F ? 0.0F : value / sum;
    const float log_sum = sum == 0.0F ? nothing : most + log2(sum);
    const std::size_t to = (first + row) * dim + at % dim;
    if (args.splits == 1) {
      args.o[to] = rounded<Element>(value);
      if (at % dim == 0) args.lse[first + row] = log_sum * ln_2;
    } else {
      const std::size_t piece = block_index().x * rows;
      args.pieces[piece * dim + to] = value;
      if (at % dim == 0) args.piece_sums[piece + first + row] = log_sum;
    }
  }
}

}  // namespace device

/// Grid: splits by kv_heads * ceil(heads / kv_heads / 16) by sequences, of Tiles::threads threads.
template <class Element, class Tiles>
HEADRACE_KERNEL_OF(Tiles::threads, 2)
void decode_attention_kernel(decode_view args) {
  using namespace device;
  const decode_place place(args);
  running_softmax<1> softmax;
  accumulators<1, Tiles::dim / 8> out;
  clear(out);
  walk_slots<Element, Tiles>(args, place, softmax, out);
  sync_block();  // results take the place of the buffers
  const decode_results<Tiles> results(shared_memory());
  put_result(results, softmax, out);
  sync_block();
  merge_warps<Element>(args, place, results);
}

/// Merges the pieces of each head, in their order. Grid: enough blocks of 128 threads for
/// sequences * heads * dim.
template <class Element, int dim>
HEADRACE_KERNEL void merge_pieces_kernel(decode_view args) {
  using namespace device;
  const std::size_t rows = static_cast<std::size_t>(args.sequences) * args.heads;
  const std::size_t at =
      static_cast<std::size_t>(block_index().x) * block_threads() + thread_index();
  const std::size_t row = at / dim;
  if (row >= rows) return;
  float most = nothing;
  for (std::uint32_t p = 0; p < args.splits; ++p) {
    const float other = args.piece_sums[p * rows + row];
    most = other > most ? other : most;
  }
  float sum = 0.0F;
  float value = 0.0F;
  for (std::uint32_t p = 0; p < args.splits; ++p) {
    const float weight = most == nothing ? 0.0F : exp2(args.piece_sums[p * rows + row] - most);
    sum += weight;
    value += weight * args.pieces[p * rows * dim + at];
  }
  args.o[at] = rounded<Element>(sum == 0.0F ? 0.0F : value / sum);
  if (at % dim == 0) args.lse[row] = sum == 0.0F ? nothing : (most + log2(sum)) * ln_2;
}

}  // namespace headrace::kernels
