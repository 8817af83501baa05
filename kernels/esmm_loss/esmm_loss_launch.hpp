#pragma once

#include "kernels/esmm_loss/esmm_loss_kernel.hpp"

/// Launch shapes of esmm_loss's kernels. `launch(shape, kernel, args…)` queues one.
namespace headrace::kernels {

/// Writes both sums, two doubles on the device: click, conversion. view.partials: 2 *
/// sum_blocks(n).
template <class Launch>
void launch_esmm_loss(const device::esmm_view& view, double* losses, const Launch& launch) {
  const std::uint32_t blocks = sum_blocks(view.n);
  const launch_shape shape = {
      .grid = {blocks}, .threads = device::sum_threads, .shared_bytes = block_sum_bytes};
  launch(shape, device::esmm_kernel, view);
  launch(launch_shape{.threads = device::sum_threads, .shared_bytes = block_sum_bytes},
         device::add_block_sums_kernel,
         static_cast<const double*>(view.partials),
         blocks,
         2U,
         losses);
}

}  // namespace headrace::kernels
