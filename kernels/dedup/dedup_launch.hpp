#pragma once

#include "kernels/dedup/dedup_kernel.hpp"
#include "kernels/runtime/launch_shape.hpp"
#include "kernels/runtime/workspace_parts.hpp"

/// Launch shapes of dedup: a thread a key, or blocks of 256 threads with 4,096 neighbouring keys.
namespace headrace::kernels {

struct dedup_parts {
  dedup_parts(std::byte* workspace, std::uint32_t n, std::size_t bytes_of_sort)
      : sort_bytes(bytes_of_sort) {
    workspace_parts parts(workspace);
    sorted_keys = parts.take<std::uint64_t>(n);
    sorted_at = parts.take<std::uint32_t>(n);
    positions = parts.take<std::uint32_t>(n);
    starts = parts.take<std::uint32_t>(n);
    heads = parts.take<std::uint32_t>(device::rank_blocks(n));
    sort = parts.take<std::byte>(sort_bytes);
    bytes = parts.bytes();
  }
  std::uint64_t* sorted_keys;
  std::uint32_t* sorted_at;
  std::uint32_t* positions;
  std::uint32_t* starts;
  std::uint32_t* heads;
  std::byte* sort;
  std::size_t sort_bytes;
  std::size_t bytes;  // of all
};

/// sort(keys, sorted_keys, values, sorted_values, n) sorts pairs by key. Of `view`, the outputs and
/// n are set; n >= 1.
template <class Launch, class Sort>
void launch_dedup(const std::uint64_t* keys,
                  device::dedup_view view,
                  const dedup_parts& parts,
                  const Sort& sort,
                  const Launch& launch) {
  view.sorted_keys = parts.sorted_keys;
  view.sorted_at = parts.sorted_at;
  view.positions = parts.positions;
  view.starts = parts.starts;
  view.heads = parts.heads;
  const std::uint32_t blocks = device::rank_blocks(view.n);
  const launch_shape flat = {.grid = {(view.n - 1) / device::rank_threads + 1},
                             .threads = device::rank_threads};
  const launch_shape ranked = {
      .grid = {blocks}, .threads = device::rank_threads, .shared_bytes = device::rank_shared_bytes};
  const launch_shape one = {
      .grid = {1}, .threads = device::rank_threads, .shared_bytes = device::rank_shared_bytes};
  launch(flat, device::number_positions_kernel, view);
  sort(keys, parts.sorted_keys, parts.positions, parts.sorted_at, view.n);
  launch(ranked, device::count_heads_kernel, view);
  launch(one, device::scan_counts_kernel, view.heads, blocks, view.unique_count);
  launch(ranked, device::rank_keys_kernel, view);
  launch(flat, device::measure_runs_kernel, view);
}

}  // namespace headrace::kernels
