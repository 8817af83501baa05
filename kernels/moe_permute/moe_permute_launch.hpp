#pragma once

#include "kernels/moe_permute/moe_permute_kernel.hpp"
#include "kernels/moe_permute/moe_plan_kernel.hpp"

/// Launch shapes of the permutation's kernels. `launch(shape, kernel, args…)` queues one.
namespace headrace::kernels {

constexpr std::uint32_t moe_plan_pieces(std::uint32_t assignments) {
  return (assignments + device::plan_piece - 1) / device::plan_piece;
}
/// Words of workspace: counts by piece and expert.
constexpr std::size_t moe_plan_words(std::uint32_t assignments, std::uint32_t experts) {
  return std::size_t{moe_plan_pieces(assignments)} * experts;
}

/// Three kernels; view.pieces is set here. 1 <= experts <= plan_experts_max.
template <class Launch>
void launch_moe_plan(device::moe_plan_view view, const Launch& launch) {
  view.pieces = moe_plan_pieces(view.assignments);
  const std::size_t words = view.experts * sizeof(unsigned);
  const launch_shape pieces = {
      .grid = {view.pieces}, .threads = device::plan_threads, .shared_bytes = words};
  if (view.pieces > 0) launch(pieces, device::moe_count_kernel, view);
  launch(launch_shape{.threads = device::plan_threads, .shared_bytes = words},
         device::moe_scan_kernel,
         view);
  if (view.pieces == 0) return;
  launch(launch_shape{.grid = {view.pieces},
                      .threads = device::plan_threads,
                      .shared_bytes = (1 + device::plan_warps) * words},
         device::moe_place_kernel,
         view);
}

/// Eight warps a block: none waits for another.
constexpr launch_shape moe_warps(std::uint32_t warps) {
  return {.grid = {(warps + 7) / 8}, .threads = 256};
}

/// Copies rows of `row_bytes`, a multiple of 2; `aligned`: both arrays start at multiples of 16
/// bytes.
template <class Launch>
void launch_moe_permute(device::moe_permute_view view,
                        std::size_t row_bytes,
                        bool aligned,
                        const Launch& launch) {
  if (view.tokens == 0 || row_bytes == 0) return;
  const launch_shape shape = moe_warps(view.tokens);
  if (aligned && row_bytes % 16 == 0) {
    view.words = static_cast<std::uint32_t>(row_bytes / 16);
    return launch(shape, device::moe_permute_kernel<device::words_4>, view);
  }
  if (row_bytes % 4 == 0) {
    view.words = static_cast<std::uint32_t>(row_bytes / 4);
    return launch(shape, device::moe_permute_kernel<std::uint32_t>, view);
  }
  view.words = static_cast<std::uint32_t>(row_bytes / 2);
  launch(shape, device::moe_permute_kernel<std::uint16_t>, view);
}

template <class Launch>
void launch_moe_combine(const device::moe_combine_view& view, const Launch& launch) {
  if (view.tokens > 0) launch(moe_warps(view.tokens), device::moe_combine_kernel, view);
}

template <class Launch>
void launch_moe_combine_backward(const device::moe_combine_backward_view& view,
                                 const Launch& launch) {
  if (view.assignments == 0) return;
  launch(moe_warps(view.assignments), device::moe_combine_backward_kernel, view);
}

}  // namespace headrace::kernels
