#pragma once

#include "kernels/gather_pool/gather_pool_kernel.hpp"
#include "kernels/gather_pool/pool_gradients_kernel.hpp"
#include "kernels/gather_pool/weight_gradients_kernel.hpp"
#include "kernels/runtime/launch_shape.hpp"
#include "kernels/runtime/workspace_parts.hpp"

/// Launch shapes of pooling: a team of lanes a bag (a row, a slot of a tile), four warps a block,
/// no shared memory.
namespace headrace::kernels {

inline launch_shape team_shape(std::uint32_t teams, std::uint32_t dim) {
  return {.grid = {device::team_blocks(teams, dim)}, .threads = device::team_block_threads};
}

/// A thread an item.
inline launch_shape flat_shape(std::uint32_t items) {
  constexpr unsigned threads = 256;
  return {.grid = {items / threads + (items % threads != 0 ? 1U : 0U)}, .threads = threads};
}

/// Sets view.vectors.
template <class Launch>
void launch_gather_pool(device::gather_pool_view view, value_format format, const Launch& launch) {
  if (view.bags == 0) return;
  view.vectors =
      device::moves_in_fours(view.rows, view.dim, static_cast<unsigned>(value_bytes(format))) &&
      device::moves_in_fours(view.out, view.dim, 4);
  const launch_shape shape = team_shape(view.bags, view.dim);
  switch (format) {
    case value_format::fp32:
      return launch(shape, device::gather_pool_kernel<value_format::fp32>, view);
    case value_format::int8:
      return launch(shape, device::gather_pool_kernel<value_format::int8>, view);
    case value_format::fp16:
      return launch(shape, device::gather_pool_kernel<value_format::fp16>, view);
    case value_format::bf16:
      return launch(shape, device::gather_pool_kernel<value_format::bf16>, view);
  }
}

/// Sets view.pool.vectors.
template <class Launch>
void launch_gather_pool_weights(device::weight_gradients_view view,
                                value_format format,
                                const Launch& launch) {
  if (view.n == 0) return;
  device::gather_pool_view& pool = view.pool;
  pool.vectors =
      device::moves_in_fours(pool.rows, pool.dim, static_cast<unsigned>(value_bytes(format))) &&
      device::moves_in_fours(view.out_gradients, pool.dim, 4);
  const launch_shape shape = team_shape(view.n, pool.dim);
  switch (format) {
    case value_format::fp32:
      return launch(shape, device::weight_gradients_kernel<value_format::fp32>, view);
    case value_format::int8:
      return launch(shape, device::weight_gradients_kernel<value_format::int8>, view);
    case value_format::fp16:
      return launch(shape, device::weight_gradients_kernel<value_format::fp16>, view);
    case value_format::bf16:
      return launch(shape, device::weight_gradients_kernel<value_format::bf16>, view);
  }
}

/// Where the stages of the gradient leave what they find; `sort` is what the sort itself asks for.
struct pool_gradients_parts {
  pool_gradients_parts(std::byte* workspace,
                       std::uint32_t n,
                       std::uint32_t row_count,
                       std::uint32_t dim,
                       std::size_t bytes_of_sort)
      : sort_bytes(bytes_of_sort) {
    workspace_parts parts(workspace);
    occurrences = parts.take<device::occurrence>(n);
    sorted = parts.take<device::occurrence>(n);
    sorted_rows = parts.take<std::uint32_t>(n);
    segments = parts.take<device::segment>(row_count);
    partials = parts.take<float>(std::size_t{2} * device::tiles_of(n) * dim);
    sort = parts.take<std::byte>(sort_bytes);
    bytes = parts.bytes();
  }
  device::occurrence* occurrences;
  device::occurrence* sorted;
  std::uint32_t* sorted_rows;
  device::segment* segments;
  float* partials;
  std::byte* sort;
  std::size_t sort_bytes;
  std::size_t bytes;  // of all
};

/// sort(keys, sorted_keys, values, sorted_values, n) sorts pairs by key, stable. Sets view.vectors.
template <class Launch, class Sort>
void launch_gather_pool_backward(device::pool_gradients_view view,
                                 const pool_gradients_parts& parts,
                                 const Sort& sort,
                                 const Launch& launch) {
  if (view.n == 0) return;
  view.occurrences = parts.occurrences;
  view.sorted_rows = parts.sorted_rows;
  view.sorted = parts.sorted;
  view.segments = parts.segments;
  view.partials = parts.partials;
  view.vectors = device::moves_in_fours(view.out_gradients, view.dim, 4) &&
                 device::moves_in_fours(view.row_gradients, view.dim, 4) &&
                 device::moves_in_fours(view.partials, view.dim, 4);
  launch(flat_shape(view.n), device::make_occurrences_kernel, view);
  sort(view.inverse, parts.sorted_rows, parts.occurrences, parts.sorted, view.n);
  launch(flat_shape(view.rows), device::clear_segments_kernel, view);
  launch(flat_shape(view.n), device::find_segments_kernel, view);
  launch(team_shape(2 * device::tiles_of(view.n), view.dim), device::sum_tiles_kernel, view);
  launch(team_shape(view.rows, view.dim), device::sum_rows_kernel, view);
}

}  // namespace headrace::kernels
