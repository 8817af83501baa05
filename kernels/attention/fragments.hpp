#pragma once

#include "kernels/runtime/device.hpp"

#include <cstddef>
#include <cstdint>

/// Tiles of 16-bit elements in shared memory, and products of them on the matrix units.
///
/// A tile is `rows` rows of `dim` elements (a multiple of 16), each padded by 16 bytes: eight
/// neighbouring rows then lie in different banks, which is what ldmatrix reads at a time.
namespace headrace::kernels::device {

/// Elements from one row of a tile to the next.
template <int dim>
inline constexpr int tile_pitch = dim + 8;

constexpr bool eight_rows_miss_each_other(int pitch) {
  unsigned banks = 0;  // in fours: 16 bytes
  for (int row = 0; row < 8; ++row) banks |= 1U << (row * pitch / 8 % 8);
  return banks == 0xFF;
}
static_assert(eight_rows_miss_each_other(tile_pitch<16>));
static_assert(eight_rows_miss_each_other(tile_pitch<32>));
static_assert(eight_rows_miss_each_other(tile_pitch<64>));
static_assert(eight_rows_miss_each_other(tile_pitch<128>));

/// Begins to copy rows of global memory, `stride` elements apart, by `threads` threads, of which
/// this is number `thread`; zeros for rows from `valid` on, which are not read. Addresses are
/// multiples of 16 bytes.
template <int rows, int dim, int threads>
HEADRACE_DEVICE void begin_rows(std::uint16_t* to,
                                const std::uint16_t* from,
                                std::size_t stride,
                                int valid,
                                unsigned thread = thread_index()) {
  constexpr int pieces = dim / 8;  // of 16 bytes, a row
  HEADRACE_UNROLL
  for (int first = 0; first < rows * pieces; first += threads) {
    const int at = first + static_cast<int>(thread);
    if (rows * pieces % threads != 0 && at >= rows * pieces) break;
    const int row = at / pieces;
    const int column = at % pieces * 8;
    const bool in_range = row < valid;
    const std::size_t skipped = in_range ? static_cast<std::size_t>(row) * stride : 0;
    copy_async_16(to + row * tile_pitch<dim> + column, from + skipped + column, in_range);
  }
}

/// A left operand: rows [row, row + 16) and columns [column, column + 16) of a tile.
template <int dim>
HEADRACE_DEVICE void load_left(std::uint32_t (&to)[4],
                               const std::uint16_t* tile,
                               int row,
                               int column) {
  const int of = static_cast<int>(lane());
  load_matrices_x4(to, tile + (row + of % 16) * tile_pitch<dim> + column + of / 16 * 8);
}

/// Right operands of a product with a tile's transpose: n = rows [row, row + 8) in the first two
/// words and the next 8 in the others, k = columns [column, column + 16).
template <int dim>
HEADRACE_DEVICE void load_right_rows(std::uint32_t (&to)[4],
                                     const std::uint16_t* tile,
                                     int row,
                                     int column) {
  const int of = static_cast<int>(lane());
  const int at = row + of % 8 + of / 16 * 8;
  load_matrices_x4(to, tile + at * tile_pitch<dim> + column + of / 8 % 2 * 8);
}

/// Right operands of a product with a tile: k = rows [row, row + 16), n = columns [column, column +
/// 8) in the first two words and the next 8 in the others.
template <int dim>
HEADRACE_DEVICE void load_right_columns(std::uint32_t (&to)[4],
                                        const std::uint16_t* tile,
                                        int row,
                                        int column) {
  const int of = static_cast<int>(lane());
  load_matrices_x4_transposed(to, tile + (row + of % 16) * tile_pitch<dim> + column + of / 16 * 8);
}

/// A warp's accumulators: `strips` strips of 16 rows by 8 `eights` columns; element e of [s][j] of
/// a lane is row 16 s + row_of(e), column 8 j + column_of(e).
template <int strips, int eights>
using accumulators = float[strips][eights][4];

HEADRACE_DEVICE int row_of(int e) { return static_cast<int>(lane() / 4) + e / 2 * 8; }
HEADRACE_DEVICE int column_of(int e) { return static_cast<int>(lane() % 4) * 2 + e % 2; }

template <int strips, int eights>
HEADRACE_DEVICE void clear(accumulators<strips, eights>& c) {
  HEADRACE_UNROLL
  for (int s = 0; s < strips; ++s) {
    HEADRACE_UNROLL
    for (int j = 0; j < eights; ++j) {
      HEADRACE_UNROLL
      for (int e = 0; e < 4; ++e) c[s][j][e] = 0.0F;
    }
  }
}

/// c += left tileᵀ: the first rows of a tile of k columns. left(s, kk, words) gives the left
/// operand of strip s for the columns [16 kk, 16 kk + 16).
template <class Element, int k, int strips, int eights, class Left>
HEADRACE_DEVICE void multiply_by_rows(accumulators<strips, eights>& c,
                                      const Left& left,
                                      const std::uint16_t* tile) {
  HEADRACE_UNROLL
  for (int kk = 0; kk < k / 16; ++kk) {
    std::uint32_t a[strips][4];
    HEADRACE_UNROLL
    for (int s = 0; s < strips; ++s) left(s, kk, a[s]);
    HEADRACE_UNROLL
    for (int j = 0; j < eights / 2; ++j) {
      std::uint32_t b[4];
      load_right_rows<k>(b, tile, 16 * j, 16 * kk);
      HEADRACE_UNROLL
      for (int s = 0; s < strips; ++s) {
        multiply_16x8x16<Element>(c[s][2 * j], a[s], {b[0], b[1]});
        multiply_16x8x16<Element>(c[s][2 * j + 1], a[s], {b[2], b[3]});
      }
    }
  }
}

/// c += left tile: the first k rows of a tile as wide as c.
template <class Element, int k, int strips, int eights, class Left>
HEADRACE_DEVICE void multiply_by_columns(accumulators<strips, eights>& c,
                                         const Left& left,
                                         const std::uint16_t* tile) {
  HEADRACE_UNROLL
  for (int kk = 0; kk < k / 16; ++kk) {
    std::uint32_t a[strips][4];
    HEADRACE_UNROLL
    for (int s = 0; s < strips; ++s) left(s, kk, a[s]);
    HEADRACE_UNROLL
    for (int j = 0; j < eights / 2; ++j) {
      std::uint32_t b[4];
      load_right_columns<8 * eights>(b, tile, 16 * kk, 16 * j);
      HEADRACE_UNROLL
      for (int s = 0; s < strips; ++s) {
        multiply_16x8x16<Element>(c[s][2 * j], a[s], {b[0], b[1]});
        multiply_16x8x16<Element>(c[s][2 * j + 1], a[s], {b[2], b[3]});
      }
    }
  }
}

/// The left operand of a product's columns [16 kk, 16 kk + 16), rounded: accumulators lie in a warp
/// just as left operands do.
template <class Element, int columns>
HEADRACE_DEVICE void left_of(const float (&c)[columns][4], int kk, std::uint32_t (&to)[4]) {
  to[0] = pack<Element>(c[2 * kk][0], c[2 * kk][1]);
  to[1] = pack<Element>(c[2 * kk][2], c[2 * kk][3]);
  to[2] = pack<Element>(c[2 * kk + 1][0], c[2 * kk + 1][1]);
  to[3] = pack<Element>(c[2 * kk + 1][2], c[2 * kk + 1][3]);
}

/// Stores a strip's 16 rows to global memory as 16-bit elements, rows from `valid` on left out, by
/// way of 16 rows of shared memory that this warp alone uses.
template <class Element, int eights>
HEADRACE_DEVICE void store_strip(const float (&c)[eights][4],
                                 std::uint16_t* through,
                                 std::uint16_t* to,
                                 std::size_t stride,
                                 int valid) {
  sync_warp();  // the rows may have been read by the others
  constexpr int pitch = tile_pitch<8 * eights>;
  HEADRACE_UNROLL
  for (int j = 0; j < eights; ++j) {
    HEADRACE_UNROLL
    for (int e = 0; e < 4; e += 2) {
      *reinterpret_cast<std::uint32_t*>(through + row_of(e) * pitch + 8 * j + column_of(e)) =
          pack<Element>(c[j][e], c[j][e + 1]);
    }
  }
  sync_warp();
  HEADRACE_UNROLL
  for (int first = 0; first < 16 * eights; first += 32) {
    const int at = first + static_cast<int>(lane());
    const int row = at / eights;
    const int column = at % eights * 8;
    if (row >= valid) continue;
    store_16(to + static_cast<std::size_t>(row) * stride + column,
             load_16(through + row * pitch + column));
  }
}

}  // namespace headrace::kernels::device
