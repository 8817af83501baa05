#pragma once

#include "kernels/runtime/device.hpp"

#include <cstddef>
#include <cstdint>

/// Sums over rows in two phases: slices of 256 rows, then partial sums of columns become one, both
/// in a fixed order.
namespace headrace::kernels::device {

/// Columns and groups of partials that a block of column_sums_kernel has: 256 threads.
constexpr unsigned column_sums_columns = 32;
constexpr unsigned column_sums_groups = 8;

/// out[c] += Σ_p partials[p, c], p < count.
struct column_sums_view {
  const float* partials;  // [count, stride]
  std::size_t stride;
  std::uint32_t count;
  std::uint32_t columns;
  float* out;  // [columns]
};

/// A block has 32 columns (neighbouring lanes read neighbouring floats) and 8 groups of partials;
/// group g sums partials g, g + 8, …, then the groups are added in order. Shared: 256 floats.
/// Grid: ⌈columns / 32⌉ blocks of 256.
HEADRACE_KERNEL void column_sums_kernel(column_sums_view view) {
  auto* sums = reinterpret_cast<float*>(shared_memory());
  const unsigned c = block_index().x * column_sums_columns + lane();
  float sum = 0.0F;
  for (unsigned p = warp(); p < view.count && c < view.columns; p += column_sums_groups) {
    sum += view.partials[p * view.stride + c];
  }
  sums[thread_index()] = sum;
  sync_block();
  if (warp() != 0 || c >= view.columns) return;
  float total = 0.0F;
  for (unsigned g = 0; g < column_sums_groups; ++g) {
    total += sums[g * column_sums_columns + lane()];
  }
  view.out[c] += total;
}

/// Rows of a slice of a sum over many rows.
constexpr std::uint32_t column_slice_rows = 256;

HEADRACE_BOTH std::uint32_t column_slices(std::uint32_t rows) {
  return rows / column_slice_rows + (rows % column_slice_rows != 0 ? 1U : 0U);
}

/// Floats of partials of a sum over rows: none where one slice has them all.
HEADRACE_BOTH std::size_t column_partials(std::uint32_t rows, std::uint32_t columns) {
  return rows <= column_slice_rows ? 0 : std::size_t{column_slices(rows)} * columns;
}

/// Sums of rows [count, columns]: partials [column_slices(count), columns], out [columns] += all.
struct row_sums_view {
  const float* rows;
  float* partials;
  float* out;
  std::uint32_t count;
  std::uint32_t columns;
};

/// partials[s] = Σ of slice s, in column_sums_kernel's order. Grid: ⌈columns / 32⌉ (x) by slices
/// (y) blocks of 256. Shared: 256 floats.
HEADRACE_KERNEL void slice_sums_kernel(row_sums_view view) {
  auto* sums = reinterpret_cast<float*>(shared_memory());
  const unsigned c = block_index().x * column_sums_columns + lane();
  const std::uint32_t begin = block_index().y * column_slice_rows;
  const std::uint32_t left = view.count - begin;
  const std::uint32_t rows = left < column_slice_rows ? left : column_slice_rows;
  float sum = 0.0F;
  for (std::uint32_t r = warp(); r < rows && c < view.columns; r += column_sums_groups)
    sum += view.rows[(std::size_t{begin} + r) * view.columns + c];
  sums[thread_index()] = sum;
  sync_block();
  if (warp() != 0 || c >= view.columns) return;
  float total = 0.0F;
  for (unsigned g = 0; g < column_sums_groups; ++g) total += sums[g * column_sums_columns + lane()];
  view.partials[std::size_t{block_index().y} * view.columns + c] = total;
}

}  // namespace headrace::kernels::device
