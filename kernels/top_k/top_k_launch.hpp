#pragma once

#include "kernels/runtime/launch_shape.hpp"
#include "kernels/runtime/workspace_parts.hpp"
#include "kernels/top_k/top_k_kernel.hpp"

/// Launch shapes of top_k: blocks of 256 threads with 4,096 neighbouring items each, enough of them
/// to fill a device from a million items on; one block where all counts meet.
namespace headrace::kernels {

struct top_k_parts {
  top_k_parts(std::byte* workspace, std::uint32_t n) {
    workspace_parts parts(workspace);
    const std::uint32_t blocks = device::rank_blocks(n);
    state = parts.take<device::selection>(1);
    histograms = parts.take<std::uint32_t>(device::digit_rounds * device::digits_max);
    above = parts.take<std::uint32_t>(blocks);
    equal = parts.take<std::uint32_t>(blocks);
    bytes = parts.bytes();
  }
  device::selection* state;
  std::uint32_t* histograms;
  std::uint32_t* above;
  std::uint32_t* equal;
  std::size_t bytes;  // of all
};

/// Of `view`, values, indices, selected, n and k are set. k <= n.
template <class Launch>
void launch_top_k(device::top_k_view view, const top_k_parts& parts, const Launch& launch) {
  if (view.k == 0) return;
  view.state = parts.state;
  view.histograms = parts.histograms;
  view.above = parts.above;
  view.equal = parts.equal;
  const std::uint32_t blocks = device::rank_blocks(view.n);
  const launch_shape one = {
      .grid = {1}, .threads = device::rank_threads, .shared_bytes = device::rank_shared_bytes};
  const launch_shape all = {
      .grid = {blocks}, .threads = device::rank_threads, .shared_bytes = device::rank_shared_bytes};
  launch(one, device::begin_selection_kernel, view);
  for (unsigned round = 0; round < device::digit_rounds; ++round) {
    const launch_shape counting = {
        .grid = {blocks},
        .threads = device::rank_threads,
        .shared_bytes = device::digits_in(round) * sizeof(std::uint32_t)};
    launch(counting, device::count_digits_kernel, view, round);
    launch(one, device::pick_digit_kernel, view, round);
  }
  launch(all, device::count_selected_kernel, view);
  launch(one, device::scan_counts_kernel, view.above, blocks, &view.state->above);
  launch(one, device::scan_counts_kernel, view.equal, blocks, &view.state->equal);
  launch(all, device::compact_selected_kernel, view);
}

}  // namespace headrace::kernels
