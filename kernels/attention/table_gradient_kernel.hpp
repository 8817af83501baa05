#pragma once

#include "kernels/attention/query_gradient_kernel.hpp"

#include <cstddef>
#include <cstdint>

/// The gradient of a bias table: Σ dS over the pairs of a distance, in a fixed order. Blocks share
/// the query tiles out evenly; each sums its own into a table of its own, and a second kernel adds
/// the tables up. dS comes again as for dq: only who trains a table pays for this.
namespace headrace::kernels {

struct table_gradient_view {
  float* tables = nullptr;    // [blocks, heads, 2 max_distance + 1], workspace
  float* gradient = nullptr;  // [heads, 2 max_distance + 1], added to
  std::uint32_t tiles = 0;    // numbers of query tiles, as tile_numbers() says
};

/// Blocks that share the tiles of a head: enough to fill a GPU together with the heads, few enough
/// that their tables stay small.
inline constexpr std::uint32_t table_gradient_blocks = 64;

/// The first and the last of `count` diagonals, the one of distance `least` first, whose distances
/// stay within ±max_distance: [first, last). Those before and behind are clipped to the ends.
struct diagonal_range {
  std::int32_t first = 0;
  std::int32_t last = 0;
};
HEADRACE_BOTH constexpr diagonal_range unclipped(std::int32_t least,
                                                 std::int32_t count,
                                                 std::int32_t max_distance) {
  const std::int32_t first = -max_distance - least;
  const std::int32_t last = max_distance - least + 1;
  const std::int32_t low = first < 0 ? 0 : first > count ? count : first;
  const std::int32_t high = last < low ? low : last > count ? count : last;
  return {low, high};
}

namespace device {

/// Sums of a tile's diagonals: the tile (f32, rows then columns) and a number for each diagonal, in
/// shared memory behind what the walk uses.
template <class Tiles>
struct diagonal_memory {
  static constexpr int pitch = Tiles::columns + 1;
  static constexpr int diagonals = Tiles::rows + Tiles::columns - 1;
  static constexpr std::size_t begin = (Tiles::shared_bytes + 127) / 128 * 128;
  static constexpr std::size_t shared_bytes =
      begin + sizeof(float) * (Tiles::rows * pitch + diagonals);

  float* tile;
  float* sums;

  HEADRACE_DEVICE explicit diagonal_memory(std::byte* at)
      : tile(reinterpret_cast<float*>(at + begin)), sums(tile + Tiles::rows * pitch) {}
};

/// Puts a warp's dS, times a share, where all of the block can read it.
template <class Tiles>
HEADRACE_DEVICE void put_score_gradients(
    const diagonal_memory<Tiles>& memory,
    const accumulators<Tiles::strips, Tiles::columns / 8>& score_gradient,
    float share) {
  const int warp_row = static_cast<int>(warp()) * 16 * Tiles::strips;
  HEADRACE_UNROLL
  for (int s = 0; s < Tiles::strips; ++s) {
    HEADRACE_UNROLL
    for (int n = 0; n < Tiles::columns / 8; ++n) {
      HEADRACE_UNROLL
      for (int e = 0; e < 4; ++e) {
        const int row = warp_row + 16 * s + row_of(e);
        memory.tile[row * memory.pitch + 8 * n + column_of(e)] = score_gradient[s][n][e] * share;
      }
    }
  }
}

/// Adds the tile's diagonals to a head's table of this block and clears the tile. Diagonal d holds
/// the pairs whose column is d - (rows - 1) beyond their row; `i` and `j` are the positions of the
/// tile's first row and column. The whole block calls it.
template <class Tiles>
HEADRACE_DEVICE void add_diagonals(const diagonal_memory<Tiles>& memory,
                                   float* table,
                                   std::int32_t max_distance,
                                   std::int32_t i,
                                   std::int32_t j) {
  constexpr int rows = Tiles::rows;
  constexpr int diagonals = diagonal_memory<Tiles>::diagonals;
  sync_block();
  for (int d = static_cast<int>(thread_index()); d < diagonals; d += Tiles::threads) {
    const int shift = d - (rows - 1);
    const int first = shift < 0 ? -shift : 0;
    const int last = rows < Tiles::columns - shift ? rows : Tiles::columns - shift;
    float sum = 0.0F;
    for (int row = first; row < last; ++row) {
      float& each = memory.tile[row * memory.pitch + row + shift];
      sum += each;
      each = 0.0F;
    }
    memory.sums[d] = sum;
  }
  sync_block();
  const std::int32_t least = j - i - (rows - 1);
  const diagonal_range inner = unclipped(least, diagonals, max_distance);
  const int mine = static_cast<int>(thread_index());
  for (int d = inner.first + mine; d < inner.last; d += Tiles::threads)
    table[least + d + max_distance] += memory.sums[d];
  sync_block();  // an end of the table may be among them
  if (mine == 0) {
    float clipped = 0.0F;
    for (int d = 0; d < inner.first; ++d) clipped += memory.sums[d];
    table[0] += clipped;
  }
  sync_warp();  // of a table of one entry both ends are the same
  if (mine == 31) {
    float clipped = 0.0F;
    for (int d = inner.last; d < diagonals; ++d) clipped += memory.sums[d];
    table[2 * max_distance] += clipped;
  }
}

/// All of a block's work: fills its table. share_of(tile) is a factor of a sequence's dS.
template <class Element, class Rule, class Tiles, class ShareOf>
HEADRACE_DEVICE void fill_table(const attention_backward_view& args,
                                const table_gradient_view& to,
                                const ShareOf& share_of) {
  const attention_view& in = args.forward;
  const unsigned head = block_index().y;
  const std::int32_t max_distance = in.scores.max_distance;
  const std::int32_t width = 2 * max_distance + 1;
  const gradient_memory<Tiles> memory(shared_memory());
  const diagonal_memory<Tiles> diagonals(shared_memory());
  float* table = to.tables + (static_cast<std::size_t>(block_index().x) * in.heads + head) * width;
  for (std::int32_t at = static_cast<std::int32_t>(thread_index()); at < width;
       at += Tiles::threads)
    table[at] = 0.0F;
  for (int at = static_cast<int>(thread_index()); at < Tiles::rows * diagonals.pitch;
       at += Tiles::threads)
    diagonals.tile[at] = 0.0F;
  sync_block();
  for (std::uint32_t number = block_index().x; number < to.tiles; number += grid_blocks().x) {
    const sequence_tile tile = find_tile(in.offsets, in.sequences, number, Tiles::rows);
    if (tile.empty()) continue;
    const float share = share_of(tile);
    walk_score_gradients<Element, Rule>(
        args,
        tile,
        head,
        memory,
        [&](const accumulators<Tiles::strips, Tiles::columns / 8>& score_gradient,
            const tile_meeting&,
            std::uint32_t) { put_score_gradients(diagonals, score_gradient, share); },
        [&](const tile_meeting& at) {
          add_diagonals(
              diagonals, table, max_distance, static_cast<std::int32_t>(tile.first), at.j);
        });
    sync_block();  // the next tile is kept in the same place
  }
}

}  // namespace device

/// Grid: at most table_gradient_blocks by heads, of Tiles::threads threads, with
/// diagonal_memory<Tiles>::shared_bytes. Needs `dots`. Fills the tables of its blocks.
template <class Element, class Tiles>
HEADRACE_KERNEL_OF(Tiles::threads, 1)
void table_gradient_kernel(attention_backward_view args, table_gradient_view to) {
  device::fill_table<Element, device::softmax_rule, Tiles>(
      args, to, [](const sequence_tile&) { return 1.0F; });
}

/// Adds the tables of all blocks to the gradient. Grid: enough blocks of 128 threads for the table.
HEADRACE_KERNEL void sum_tables_kernel(table_gradient_view of,
                                       std::uint32_t tables,
                                       std::uint32_t size) {
  using namespace device;
  const std::uint32_t at = block_index().x * block_threads() + thread_index();
  if (at >= size) return;
  float sum = 0.0F;
  for (std::uint32_t t = 0; t < tables; ++t)
    sum += of.tables[static_cast<std::size_t>(t) * size + at];
  of.gradient[at] += sum;
}

}  // namespace headrace::kernels
