#pragma once

#include <cstddef>

/// Sizes of the parts that gemm_cpu works on, the same on every target, so that the workspace is.
namespace headrace::kernels {

constexpr std::size_t line_bytes = 64;

/// Columns of B that are packed at a time, and most steps of k: 768 KB, which stay in L2 while the
/// rows of A pass by. Measured with gemm.bench.cpp (AVX2, 1 MB of L2): 320 x 512, 384 x 512 and 512
/// x 256 cost the same within the noise.
constexpr std::size_t block_columns = 512;
constexpr std::size_t block_depth_max = 384;
/// Rows of a transposed A that are packed at a time: a multiple of every target's tile.
constexpr std::size_t block_rows = 48;

/// Up to so many rows of A, B is read in place. Measured: gemm.bench.cpp, few_rows.
constexpr std::size_t in_place_rows_max = 32;
/// Up to so many rows of A (or columns of B, or steps of k) there are no tiles, if the other matrix
/// can be read along its rows.
constexpr std::size_t thin_max = 4;
/// As many where B's rows are added up: from 3 rows on, tiles are faster (few_rows).
constexpr std::size_t added_rows_max = 2;

/// k in equal parts of at most block_depth_max.
constexpr std::size_t block_depth(std::size_t k) {
  const std::size_t parts = (k + block_depth_max - 1) / block_depth_max;
  return parts == 0 ? 0 : (k + parts - 1) / parts;
}

/// Rows of A, columns of B with the last panel of any target filled up.
constexpr std::size_t whole_rows(std::size_t m) { return (m + 11) / 12 * 12; }
constexpr std::size_t whole_columns(std::size_t n) { return (n + 31) / 32 * 32; }

}  // namespace headrace::kernels
