#pragma once

#include "kernels/runtime/device.hpp"

#include <cstddef>
#include <cstdint>

/// One tile of a product of bfloat16 matrices on the matrix units, sums in f32: three pieces of k
/// at a time in shared memory, brought by cp.async.
namespace headrace::kernels::device {

constexpr unsigned tile_threads = 256;
constexpr unsigned tile_k = 32;
constexpr unsigned tile_stages = 3;

/// Bytes from one row of a tile in shared memory to the next: 16 more than it has, so that eight
/// rows of 16 bytes lie in different banks. Tiles lie as their matrices do: k in rows or in
/// columns.
constexpr unsigned tile_padding = 8;
constexpr unsigned tile_elements = 128 * (tile_k + tile_padding);  // of either operand, at most
constexpr std::size_t tile_shared_bytes =
    std::size_t{2} * tile_stages * tile_elements * sizeof(std::uint16_t);
static_assert(tile_k * (128 + tile_padding) <= tile_elements);

/// A matrix of bfloat16 in memory: 0 beyond its ends. Rows start at multiples of 16 bytes.
struct brain_matrix {
  const std::uint16_t* values;
  std::size_t pitch;  // elements from one row to the next
  std::uint32_t rows;
  std::uint32_t columns;  // a multiple of 8
};

/// Begins to copy rows [row, row + Rows) of columns [column, column + Columns).
template <unsigned Rows, unsigned Columns>
HEADRACE_DEVICE void copy_tile(const brain_matrix& from,
                               std::uint32_t row,
                               std::uint32_t column,
                               std::uint16_t* to) {
  constexpr unsigned a_row = Columns / 8;
  HEADRACE_UNROLL
  for (unsigned first = 0; first < Rows * a_row; first += tile_threads) {
    const unsigned i = first + thread_index();
    if (Rows * a_row % tile_threads != 0 && i >= Rows * a_row) break;
    const std::uint32_t r = row + i / a_row;
    const std::uint32_t c = column + i % a_row * 8;
    const bool is_there = r < from.rows && c < from.columns;
    const std::uint16_t* at = is_there ? from.values + r * from.pitch + c : from.values;
    copy_async_16(to + i / a_row * (Columns + tile_padding) + i % a_row * 8, at, is_there);
  }
}

/// The same of tile_k rows and 64 columns into half of the columns of a tile.
HEADRACE_DEVICE void copy_half_tile(const brain_matrix& from,
                                    std::uint32_t row,
                                    std::uint32_t column,
                                    std::uint16_t* to) {
  static_assert(tile_k * 8 == tile_threads, "a thread copies 16 bytes");
  const unsigned i = thread_index();
  const std::uint32_t r = row + i / 8;
  const std::uint32_t c = column + i % 8 * 8;
  const bool is_there = r < from.rows && c < from.columns;
  const std::uint16_t* at = is_there ? from.values + r * from.pitch + c : from.values;
  copy_async_16(to + i / 8 * (128 + tile_padding) + i % 8 * 8, at, is_there);
}

/// How eight warps share a tile of Rows x 128: `down` of them below each other; each has
/// `row_pieces` of 16 rows and `column_pieces` of 8 columns.
template <unsigned Rows>
struct warp_layout {
  static constexpr unsigned down = Rows == 16 ? 1 : 2;
  static constexpr unsigned beside = tile_threads / warp_threads / down;
  static constexpr unsigned row_pieces = Rows / down / 16;
  static constexpr unsigned column_pieces = 128 / beside / 8;
};

/// A warp's sums.
template <unsigned Rows>
struct tile_sums {
  float at[warp_layout<Rows>::row_pieces][warp_layout<Rows>::column_pieces][4];
};

/// How a product's operands lie. A [m, k], or [k, m] where `left_by_k`; B [k, n], or [n, k] where
/// not `right_by_k`. `paired`: B's tile is 64 columns of one matrix and the same of another, and a
/// warp has the same columns of both.
template <bool LeftByK, bool RightByK, bool Paired>
struct product_form {
  static constexpr bool left_by_k = LeftByK;
  static constexpr bool right_by_k = RightByK;
  static constexpr bool paired = Paired;
};

/// This warp's first row in the tile, and the first column of its piece j.
template <unsigned Rows>
HEADRACE_DEVICE unsigned first_row_of_warp() {
  return warp() % warp_layout<Rows>::down * warp_layout<Rows>::row_pieces * 16;
}
template <unsigned Rows, bool Paired>
HEADRACE_DEVICE unsigned column_of_piece(unsigned j) {
  constexpr unsigned pieces = warp_layout<Rows>::column_pieces;
  const unsigned beside = warp() / warp_layout<Rows>::down;
  if constexpr (!Paired) return (beside * pieces + j) * 8;
  constexpr unsigned half = pieces / 2;
  return j < half ? (beside * half + j) * 8 : 64 + (beside * half + j - half) * 8;
}

/// 16 rows from m on and 16 of k.
template <unsigned Rows, bool ByK>
HEADRACE_DEVICE void load_left(const std::uint16_t* tile,
                               unsigned m,
                               unsigned k,
                               std::uint32_t (&to)[4]) {
  const unsigned matrix = lane() / 8;
  const unsigned row = lane() % 8;
  if constexpr (ByK) {
    const unsigned at_k = k + matrix / 2 * 8 + row;
    load_matrices_x4_transposed(to, tile + at_k * (Rows + tile_padding) + m + matrix % 2 * 8);
  } else {
    const unsigned at_m = m + matrix % 2 * 8 + row;
    load_matrices_x4(to, tile + at_m * (tile_k + tile_padding) + k + matrix / 2 * 8);
  }
}

/// 16 of k, of 8 columns from n[0] on and 8 from n[1] on.
template <bool ByK>
HEADRACE_DEVICE void load_right(const std::uint16_t* tile,
                                const unsigned (&n)[2],
                                unsigned k,
                                std::uint32_t (&to)[4]) {
  const unsigned matrix = lane() / 8;
  const unsigned row = lane() % 8;
  const unsigned column = matrix / 2 == 0 ? n[0] : n[1];
  if constexpr (ByK) {
    const unsigned at_k = k + matrix % 2 * 8 + row;
    load_matrices_x4_transposed(to, tile + at_k * (128 + tile_padding) + column);
  } else {
    load_matrices_x4(to, tile + (column + row) * (tile_k + tile_padding) + k + matrix % 2 * 8);
  }
}

/// sums += the product of what lies in one stage.
template <unsigned Rows, class Form>
HEADRACE_DEVICE void multiply_stage(const std::uint16_t* left,
                                    const std::uint16_t* right,
                                    tile_sums<Rows>& sums) {
  using layout = warp_layout<Rows>;
  HEADRACE_UNROLL
  for (unsigned k = 0; k < tile_k; k += 16) {
    std::uint32_t a[layout::row_pieces][4];
    HEADRACE_UNROLL
    for (unsigned i = 0; i < layout::row_pieces; ++i) {
      load_left<Rows, Form::left_by_k>(left, first_row_of_warp<Rows>() + i * 16, k, a[i]);
    }
    HEADRACE_UNROLL
    for (unsigned j = 0; j < layout::column_pieces; j += 2) {
      std::uint32_t b[4];
      const unsigned n[2] = {column_of_piece<Rows, Form::paired>(j),
                             column_of_piece<Rows, Form::paired>(j + 1)};
      load_right<Form::right_by_k>(right, n, k, b);
      const std::uint32_t first[2] = {b[0], b[1]};
      const std::uint32_t second[2] = {b[2], b[3]};
      HEADRACE_UNROLL
      for (unsigned i = 0; i < layout::row_pieces; ++i) {
        multiply_16x8x16<brain>(sums.at[i][j], a[i], first);
        multiply_16x8x16<brain>(sums.at[i][j + 1], a[i], second);
      }
    }
  }
}

/// Operands of a tile: B's other matrix where the form is paired.
struct tile_operands {
  brain_matrix left;
  brain_matrix right;
  brain_matrix right_other;
  std::uint32_t row;     // of the tile, in m
  std::uint32_t column;  // of the tile, in n
  std::uint32_t k;
};

template <unsigned Rows, class Form>
HEADRACE_DEVICE void copy_stage(const tile_operands& of, std::uint32_t k, std::uint16_t* left) {
  std::uint16_t* right = left + tile_elements;
  if constexpr (Form::left_by_k) {
    copy_tile<tile_k, Rows>(of.left, k, of.row, left);
  } else {
    copy_tile<Rows, tile_k>(of.left, of.row, k, left);
  }
  if constexpr (Form::paired) {
    static_assert(Form::right_by_k, "paired tiles lie by k");
    copy_half_tile(of.right, k, of.column, right);
    copy_half_tile(of.right_other, k, of.column, right + 64);
  } else if constexpr (Form::right_by_k) {
    copy_tile<tile_k, 128>(of.right, k, of.column, right);
  } else {
    copy_tile<128, tile_k>(of.right, of.column, k, right);
  }
}

/// sums += A B over all of k. Uses tile_shared_bytes; the block meets before it is written again.
template <unsigned Rows, class Form>
HEADRACE_DEVICE void add_tile_product(const tile_operands& of, tile_sums<Rows>& sums) {
  auto* shared = reinterpret_cast<std::uint16_t*>(shared_memory());
  const std::uint32_t steps = (of.k + tile_k - 1) / tile_k;
  for (std::uint32_t s = 0; s + 1 < tile_stages; ++s) {
    if (s < steps) copy_stage<Rows, Form>(of, s * tile_k, shared + s * 2 * tile_elements);
    commit_copies();
  }
  for (std::uint32_t s = 0; s < steps; ++s) {
    wait_copies<tile_stages - 2>();
    sync_block();
    const std::uint32_t next = s + tile_stages - 1;
    if (next < steps) {
      copy_stage<Rows, Form>(of, next * tile_k, shared + next % tile_stages * 2 * tile_elements);
    }
    commit_copies();
    const std::uint16_t* stage = shared + s % tile_stages * 2 * tile_elements;
    multiply_stage<Rows, Form>(stage, stage + tile_elements, sums);
  }
  wait_copies<0>();
  sync_block();
}

}  // namespace headrace::kernels::device
