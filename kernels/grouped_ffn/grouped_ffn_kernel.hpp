#pragma once

#include "kernels/grouped_ffn/grouped_ffn.hpp"
#include "kernels/grouped_ffn/grouped_tiles.hpp"
#include "kernels/grouped_ffn/product_tile.hpp"
#include "kernels/moe_permute/moe_plan_kernel.hpp"
#include "kernels/runtime/near_math.hpp"

#include <cstddef>
#include <cstdint>

/// Feed-forward nets of experts on a device (grouped_ffn.hpp has the maths), bfloat16 in, sums in
/// f32. Persistent blocks go over the tiles of all experts; where an expert's rows are is read on
/// the device, so the host waits for nothing. Weights of an expert without rows aren't read, nor
/// are its gradients written. dim and hidden are multiples of 8.
namespace headrace::kernels::device {

constexpr unsigned grouped_experts_max = 1024;

struct grouped_view {
  const std::uint32_t* offsets;  // [experts + 1]
  std::uint32_t experts;
  std::uint32_t dim;
  std::uint32_t hidden;
  const std::uint16_t* x;   // [R, dim]
  const std::uint16_t* w1;  // [experts, dim, hidden]
  const std::uint16_t* w3;  // [experts, dim, hidden], null for relu
  const std::uint16_t* w2;  // [experts, hidden, dim]
  std::uint16_t* first;     // [R, hidden]
  std::uint16_t* third;     // [R, hidden], null for relu
  std::uint16_t* h;         // [R, hidden]; relu: first itself
  float* y;                 // [R, dim]
};

/// Exclusive sums of the experts' tiles, behind the tiles in shared memory.
HEADRACE_DEVICE const std::uint32_t* tile_begins(const std::uint32_t* offsets,
                                                 std::uint32_t experts,
                                                 std::uint32_t column_tiles) {
  auto* begins = reinterpret_cast<unsigned*>(shared_memory() + tile_shared_bytes);
  for (unsigned e = thread_index(); e < experts; e += tile_threads) {
    begins[e] = grouped_tiles_of(offsets[e + 1] - offsets[e], column_tiles);
  }
  sync_block();
  if (warp() == 0) {
    const unsigned all = scan_experts(begins, experts);
    if (lane() == 0) begins[experts] = all;
  }
  sync_block();
  return begins;
}

/// job.run<Rows>(tile) for each tile of this block's.
template <class Job>
HEADRACE_DEVICE void run_tiles(const grouped_view& view,
                               std::uint32_t column_tiles,
                               const Job& job) {
  const std::uint32_t* begins = tile_begins(view.offsets, view.experts, column_tiles);
  const std::uint32_t tiles = begins[view.experts];
  for (std::uint32_t t = block_index().x; t < tiles; t += grid_blocks().x) {
    const grouped_tile tile = grouped_tile_at(view.offsets, begins, view.experts, t);
    if (tile.tile_rows == 16) {
      job.template run<16>(tile);
    } else if (tile.tile_rows == 64) {
      job.template run<64>(tile);
    } else {
      job.template run<128>(tile);
    }
  }
}

/// Rows of an expert in a matrix of all rows.
HEADRACE_DEVICE brain_matrix rows_of(const grouped_view& view,
                                     const std::uint16_t* all,
                                     std::uint32_t expert,
                                     std::uint32_t columns) {
  const std::uint32_t begin = view.offsets[expert];
  return {all + std::size_t{begin} * columns, columns, view.offsets[expert + 1] - begin, columns};
}

HEADRACE_DEVICE brain_matrix weights_of(const std::uint16_t* all,
                                        std::uint32_t expert,
                                        std::uint32_t rows,
                                        std::uint32_t columns) {
  return {all + std::size_t{expert} * rows * columns, columns, rows, columns};
}

/// f(row of the expert, column, sums at that column and the next, sums of the paired ones) for each
/// of a warp's pairs that lie in `rows` x `columns`.
template <unsigned Rows, bool Paired, class Each>
HEADRACE_DEVICE void for_each_pair(const tile_operands& of,
                                   std::uint32_t rows,
                                   std::uint32_t columns,
                                   const tile_sums<Rows>& sums,
                                   const Each& each) {
  using layout = warp_layout<Rows>;
  constexpr unsigned pieces = Paired ? layout::column_pieces / 2 : layout::column_pieces;
  HEADRACE_UNROLL
  for (unsigned i = 0; i < layout::row_pieces; ++i) {
    HEADRACE_UNROLL
    for (unsigned j = 0; j < pieces; ++j) {
      const unsigned other = Paired ? j + pieces : j;
      const std::uint32_t column = of.column + column_of_piece<Rows, Paired>(j) + 2 * (lane() % 4);
      HEADRACE_UNROLL
      for (unsigned below = 0; below < 2; ++below) {
        const std::uint32_t row =
            of.row + first_row_of_warp<Rows>() + i * 16 + lane() / 4 + below * 8;
        if (row >= rows || column >= columns) continue;
        const float own[2] = {sums.at[i][j][2 * below], sums.at[i][j][2 * below + 1]};
        const float more[2] = {sums.at[i][other][2 * below], sums.at[i][other][2 * below + 1]};
        each(row, column, own, more);
      }
    }
  }
}

HEADRACE_DEVICE void store_pair(std::uint16_t* to, std::size_t at, float low, float high) {
  *reinterpret_cast<std::uint32_t*>(to + at) = pack_brains(low, high);
}
HEADRACE_DEVICE float load_brain(const std::uint16_t* from, std::size_t at) {
  return to_float(brain{from[at]});
}
HEADRACE_DEVICE float sigmoid_near(float u) { return 1.0F / (1.0F + exp_near(-u)); }

/// first, third and h of SwiGLU: a tile has 64 columns of x W1 and the same of x W3.
struct swiglu_up {
  const grouped_view& view;

  struct store {
    const grouped_view& view;
    std::size_t begin;
    HEADRACE_DEVICE void operator()(std::uint32_t row,
                                    std::uint32_t column,
                                    const float (&u)[2],
                                    const float (&v)[2]) const {
      const std::size_t at = (begin + row) * view.hidden + column;
      store_pair(view.first, at, u[0], u[1]);
      store_pair(view.third, at, v[0], v[1]);
      const float low = u[0] * sigmoid_near(u[0]) * v[0];
      const float high = u[1] * sigmoid_near(u[1]) * v[1];
      store_pair(view.h, at, low, high);
    }
  };
  template <unsigned Rows>
  HEADRACE_DEVICE void run(const grouped_tile& tile) const {
    const brain_matrix left = rows_of(view, view.x, tile.expert, view.dim);
    const tile_operands of = {left,
                              weights_of(view.w1, tile.expert, view.dim, view.hidden),
                              weights_of(view.w3, tile.expert, view.dim, view.hidden),
                              tile.row,
                              tile.column_tile * 64,
                              view.dim};
    tile_sums<Rows> sums = {};
    add_tile_product<Rows, product_form<false, true, true>>(of, sums);
    const store each = {view, view.offsets[tile.expert]};
    for_each_pair<Rows, true>(of, left.rows, view.hidden, sums, each);
  }
};

/// first = h = max(x W1, 0).
struct relu_up {
  const grouped_view& view;

  struct store {
    const grouped_view& view;
    std::size_t begin;
    HEADRACE_DEVICE void operator()(std::uint32_t row,
                                    std::uint32_t column,
                                    const float (&u)[2],
                                    const float (&)[2]) const {
      const float low = u[0] > 0.0F ? u[0] : 0.0F;
      const float high = u[1] > 0.0F ? u[1] : 0.0F;
      store_pair(view.first, (begin + row) * view.hidden + column, low, high);
    }
  };
  template <unsigned Rows>
  HEADRACE_DEVICE void run(const grouped_tile& tile) const {
    const brain_matrix left = rows_of(view, view.x, tile.expert, view.dim);
    const brain_matrix right = weights_of(view.w1, tile.expert, view.dim, view.hidden);
    const tile_operands of = {
        left, right, right, tile.row, tile.column_tile * grouped_columns, view.dim};
    tile_sums<Rows> sums = {};
    add_tile_product<Rows, product_form<false, true, false>>(of, sums);
    const store each = {view, view.offsets[tile.expert]};
    for_each_pair<Rows, false>(of, left.rows, view.hidden, sums, each);
  }
};

/// f32 rows of all experts.
struct store_floats {
  float* to;
  std::size_t begin;
  std::uint32_t columns;
  HEADRACE_DEVICE void operator()(std::uint32_t row,
                                  std::uint32_t column,
                                  const float (&u)[2],
                                  const float (&)[2]) const {
    float* at = to + (begin + row) * columns + column;
    at[0] = u[0];
    at[1] = u[1];
  }
};

/// y = h W2.
struct ffn_down {
  const grouped_view& view;

  template <unsigned Rows>
  HEADRACE_DEVICE void run(const grouped_tile& tile) const {
    const brain_matrix left = rows_of(view, view.h, tile.expert, view.hidden);
    const brain_matrix right = weights_of(view.w2, tile.expert, view.hidden, view.dim);
    const tile_operands of = {
        left, right, right, tile.row, tile.column_tile * grouped_columns, view.hidden};
    tile_sums<Rows> sums = {};
    add_tile_product<Rows, product_form<false, true, false>>(of, sums);
    const store_floats each = {view.y, view.offsets[tile.expert], view.dim};
    for_each_pair<Rows, false>(of, left.rows, view.dim, sums, each);
  }
};

/// Persistent grids of any size, blocks of tile_threads. Shared: grouped_shared_bytes(experts).
template <ffn_form Form>
HEADRACE_KERNEL_OF(256, 2)
void grouped_up_kernel(grouped_view view) {
  if constexpr (Form == ffn_form::swiglu) {
    run_tiles(view, (view.hidden + 63) / 64, swiglu_up{view});
  } else {
    run_tiles(view, (view.hidden + 127) / 128, relu_up{view});
  }
}
HEADRACE_KERNEL_OF(256, 2) void grouped_down_kernel(grouped_view view) {
  run_tiles(view, (view.dim + grouped_columns - 1) / grouped_columns, ffn_down{view});
}

}  // namespace headrace::kernels::device
