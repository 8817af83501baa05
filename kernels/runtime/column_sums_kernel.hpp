#pragma once

#include "kernels/runtime/device.hpp"

#include <cstddef>
#include <cstdint>

/// The second phase of a sum over rows: partial sums of columns become one, in a fixed order.
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

}  // namespace headrace::kernels::device
