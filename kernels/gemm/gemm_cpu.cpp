#include "base/check.hpp"
#include "kernels/gemm/gemm.hpp"

#include <algorithm>
#include <cstdint>
#include <utility>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/gemm/gemm_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/gemm/blocks.hpp"
#include "kernels/gemm/pack-inl.hpp"
#include "kernels/gemm/thin-inl.hpp"
#include "kernels/gemm/tile-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

static_assert(block_rows % tile_rows == 0);
static_assert(block_columns % tile_columns == 0);
static_assert(whole_rows(1) % tile_rows == 0);
static_assert(whole_columns(1) % tile_columns == 0);

/// Part [i, i + rows) x [j, j + columns) of C, over [p, p + depth) of k.
struct gemm_block {
  std::size_t i;
  std::size_t rows;
  std::size_t j;
  std::size_t columns;
  std::size_t p;
  std::size_t depth;
};

HWY_INLINE const float* left_at(const gemm_args& args, std::size_t i, std::size_t p) {
  return args.a + (args.a_transposed ? p * args.a_stride + i : i * args.a_stride + p);
}
HWY_INLINE const float* right_at(const gemm_args& args, std::size_t p, std::size_t j) {
  return args.b + (args.b_transposed ? j * args.b_stride + p : p * args.b_stride + j);
}

/// Few rows of A don't repay a copy of B: its panels are read where they are, but for the last.
HWY_INLINE bool reads_right_in_place(const gemm_args& args) {
  return !args.b_transposed && args.m <= in_place_rows_max;
}

/// Panels of B, one after the other.
void pack_right(const gemm_args& args, const gemm_block& block, float* packed) {
  for (std::size_t j = 0; j < block.columns; j += tile_columns) {
    const std::size_t columns = std::min(tile_columns, block.columns - j);
    if (columns == tile_columns && reads_right_in_place(args)) continue;
    pack_panel<tile_columns>(right_at(args, block.p, block.j + j),
                             args.b_stride,
                             args.b_transposed,
                             columns,
                             block.depth,
                             packed + j * block.depth);
  }
}

/// Panels of A, one after the other, where A is transposed: rows of A are read where they are.
void pack_left(const gemm_args& args, const gemm_block& block, float* packed) {
  for (std::size_t i = 0; i < block.rows; i += tile_rows) {
    pack_panel<tile_rows>(left_at(args, block.i + i, block.p),
                          args.a_stride,
                          false,
                          std::min(tile_rows, block.rows - i),
                          block.depth,
                          packed + i * block.depth);
  }
}

/// All tiles of a block. A panel of A stays in L1 and B's come from L2, so that C is written row by
/// row. Measured: with the loops the other way round, 10 % slower at 1024 x 1024 x 1024.
void multiply_block(const gemm_args& args,
                    const gemm_block& block,
                    const float* packed_left,
                    const float* packed_right) {
  const bool accumulate = args.accumulate || block.p != 0;
  for (std::size_t i = 0; i < block.rows; i += tile_rows) {
    left_panel a = {.data = packed_left + i * block.depth, .row = 1, .step = tile_rows};
    if (!args.a_transposed) {
      a = {.data = left_at(args, block.i + i, block.p), .row = args.a_stride, .step = 1};
    }
    for (std::size_t j = 0; j < block.columns; j += tile_columns) {
      const std::size_t columns = std::min(tile_columns, block.columns - j);
      right_panel b = {.data = packed_right + j * block.depth, .step = tile_columns};
      if (columns == tile_columns && reads_right_in_place(args)) {
        b = {.data = right_at(args, block.p, block.j + j), .step = args.b_stride};
      }
      multiply_edge(std::min(tile_rows, block.rows - i),
                    columns,
                    block.depth,
                    a,
                    b,
                    {.data = args.c + (block.i + i) * args.c_stride + block.j + j,
                     .stride = args.c_stride,
                     .accumulate = accumulate});
    }
  }
}

/// Blocks as in Goto and van de Geijn, Anatomy of high-performance matrix multiplication, TOMS'08
/// (their GEPP), with B's block in L2 in place of A's.
void multiply_blocked(const gemm_args& args, float* packed) {
  const std::size_t depth_max = block_depth(args.k);
  for (std::size_t j = 0; j < args.n; j += block_columns) {
    for (std::size_t p = 0; p < args.k; p += depth_max) {
      gemm_block block = {.i = 0,
                          .rows = 0,
                          .j = j,
                          .columns = std::min(block_columns, args.n - j),
                          .p = p,
                          .depth = std::min(depth_max, args.k - p)};
      float* packed_left = packed + whole_columns(block.columns) * block.depth;
      pack_right(args, block, packed);
      for (; block.i < args.m; block.i += block_rows) {
        block.rows = std::min(block_rows, args.m - block.i);
        if (args.a_transposed) pack_left(args, block, packed_left);
        multiply_block(args, block, packed_left, packed);
      }
    }
  }
}

/// The workspace from its first cache line on.
float* aligned(std::span<float> workspace) {
  const auto address = reinterpret_cast<std::uintptr_t>(workspace.data());
  return workspace.data() + (line_bytes - address % line_bytes) % line_bytes / sizeof(float);
}

void gemm_target(const gemm_args& args) {
  if (args.k == 0 && !args.accumulate) {
    for (std::size_t i = 0; i < args.m; ++i) std::fill_n(args.c + i * args.c_stride, args.n, 0.0F);
  }
  if (args.m == 0 || args.n == 0 || args.k == 0) return;
  gemm_args plain = args;
  if (args.b_transposed && args.k == 1 && args.b_stride == 1) {  // a row all the same
    plain.b_transposed = false;
    plain.b_stride = args.n;
  }
  if (multiply_thin(plain)) return;
  multiply_blocked(plain, aligned(args.workspace));
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(gemm_target);

namespace {

/// Whether the rows of a matrix, as it is stored, don't overlap.
bool rows_apart(std::size_t rows, std::size_t columns, std::size_t stride, bool transposed) {
  if (transposed) std::swap(rows, columns);
  return rows < 2 || stride >= columns;
}

}  // namespace

std::size_t gemm_workspace(std::size_t m, std::size_t n, std::size_t k) {
  if (m == 0 || n == 0 || k == 0) return 0;
  const std::size_t depth = std::min(k, block_depth_max);  // not block_depth, which may fall with k
  if (m <= added_rows_max) return m * depth;
  return depth * (std::min(whole_columns(n), block_columns) + std::min(whole_rows(m), block_rows)) +
         line_bytes / sizeof(float);
}

void gemm_cpu(const gemm_args& args) {
  CHECK(args.workspace.size() >= gemm_workspace(args.m, args.n, args.k));
  CHECK(rows_apart(args.m, args.n, args.c_stride, false));
  CHECK(rows_apart(args.m, args.k, args.a_stride, args.a_transposed));
  CHECK(rows_apart(args.k, args.n, args.b_stride, args.b_transposed));
  HWY_DYNAMIC_DISPATCH(gemm_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
