#pragma once

#include "kernels/moe_permute/moe_permute_launch.hpp"
#include "kernels/moe_router/moe_capacity_kernel.hpp"
#include "kernels/moe_router/moe_router_backward_kernel.hpp"
#include "kernels/moe_router/moe_router_kernel.hpp"
#include "kernels/runtime/column_sums_launch.hpp"

#include <algorithm>

/// Launch shapes of the router's kernels. `launch(shape, kernel, args…)` queues one.
namespace headrace::kernels {

/// Blocks of eight warps: of the tokens alone, so that sums have the same order on every device;
/// eight tokens a warp at least, else the partial sums would be much of what is written.
constexpr std::uint32_t router_blocks(std::uint32_t tokens) {
  return std::min(std::max((tokens + 63) / 64, 1U), 264U);
}
constexpr std::uint32_t router_warps(std::uint32_t tokens) { return 8 * router_blocks(tokens); }

/// What the router keeps between its kernels.
struct router_workspace {
  double* lse_partials;    // [router_warps]
  float* mean_partials;    // [router_warps, experts]
  std::uint32_t* counts;   // [moe_plan_words], with a capacity only, as all below
  std::uint32_t* offsets;  // [experts + 1]
  std::uint32_t* places;   // [assignments]
  std::uint32_t* listed;   // [assignments]
};

/// Its bytes; cut from `memory` in this order.
constexpr std::size_t router_bytes(std::uint32_t tokens,
                                   std::uint32_t experts,
                                   std::uint32_t per_token,
                                   bool has_capacity) {
  const std::size_t warps = router_warps(tokens);
  const std::size_t sums = warps * (sizeof(double) + experts * sizeof(float));
  if (!has_capacity) return sums;
  const std::size_t assignments = std::size_t{tokens} * per_token;
  return sums + sizeof(std::uint32_t) *
                    (moe_plan_words(tokens * per_token, experts) + experts + 1 + 2 * assignments);
}
inline router_workspace cut_router_workspace(void* memory,
                                             std::uint32_t tokens,
                                             std::uint32_t experts,
                                             std::uint32_t per_token) {
  router_workspace cut{};
  const std::size_t warps = router_warps(tokens);
  cut.lse_partials = static_cast<double*>(memory);
  cut.mean_partials = reinterpret_cast<float*>(cut.lse_partials + warps);
  cut.counts = reinterpret_cast<std::uint32_t*>(cut.mean_partials + warps * experts);
  cut.offsets = cut.counts + moe_plan_words(tokens * per_token, experts);
  cut.places = cut.offsets + experts + 1;
  cut.listed = cut.places + std::size_t{tokens} * per_token;
  return cut;
}

template <class Launch>
void launch_router_rows(const device::router_view& view, const Launch& launch) {
  const launch_shape shape = {.grid = {router_blocks(view.tokens)},
                              .threads = 256,
                              .shared_bytes = view.experts * sizeof(unsigned)};
  if (view.experts <= 32) return launch(shape, device::moe_router_kernel<1>, view);
  if (view.experts <= 64) return launch(shape, device::moe_router_kernel<2>, view);
  if (view.experts <= 128) return launch(shape, device::moe_router_kernel<4>, view);
  launch(shape, device::moe_router_kernel<8>, view);
}

/// Drops what experts have no room for.
template <class Launch>
void launch_capacity(const device::router_view& view,
                     const router_workspace& memory,
                     std::uint32_t capacity,
                     const Launch& launch) {
  launch_moe_plan({.routes = view.chosen,
                   .offsets = memory.offsets,
                   .places = memory.places,
                   .listed = memory.listed,
                   .counts = memory.counts,
                   .assignments = view.tokens * view.per_token,
                   .experts = view.experts,
                   .pieces = 0},
                  launch);
  launch(launch_shape{.grid = {view.experts},
                      .threads = device::capacity_threads,
                      .shared_bytes = (device::capacity_digits + 10) * sizeof(unsigned)},
         device::moe_capacity_kernel,
         device::capacity_view{view.gates, memory.offsets, memory.listed, view.routes, capacity});
}

/// Everything of a forward pass: zeros, tokens, averages, capacity (0: none), the report. The
/// report's view has mean, loads, sizes and weights; the partials are set here.
template <class Launch>
void launch_moe_router(device::router_view view,
                       device::router_report_view report,
                       const router_workspace& memory,
                       const Launch& launch) {
  view.mean_partials = memory.mean_partials;
  view.lse_partials = memory.lse_partials;
  report.lse_partials = memory.lse_partials;
  report.warps = router_warps(view.tokens);
  launch(launch_shape{.threads = 256},
         device::router_begin_kernel,
         view.loads,
         report.mean,
         view.experts);
  if (view.tokens > 0) {
    launch_router_rows(view, launch);
    launch_column_sums(
        device::column_sums_view{
            memory.mean_partials, view.experts, report.warps, view.experts, report.mean},
        launch);
    if (report.capacity > 0) launch_capacity(view, memory, report.capacity, launch);
  }
  launch(launch_shape{.threads = device::sum_threads, .shared_bytes = block_sum_bytes},
         device::router_report_kernel,
         report);
}

template <class Launch>
void launch_moe_router_backward(const device::router_backward_view& view, const Launch& launch) {
  if (view.tokens == 0) return;
  launch_shape shape = moe_warps(view.tokens);
  shape.shared_bytes = view.experts * sizeof(float);
  if (view.experts <= 32) return launch(shape, device::moe_router_backward_kernel<1>, view);
  if (view.experts <= 64) return launch(shape, device::moe_router_backward_kernel<2>, view);
  if (view.experts <= 128) return launch(shape, device::moe_router_backward_kernel<4>, view);
  launch(shape, device::moe_router_backward_kernel<8>, view);
}

}  // namespace headrace::kernels
