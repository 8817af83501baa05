#pragma once

#include "kernels/bce/bce_kernel.hpp"

/// Launch shapes of bce's kernels. `launch(shape, kernel, args…)` queues one.
namespace headrace::kernels {

/// Writes the loss, one double on the device. view.partials: sum_blocks(n) doubles.
template <class Launch>
void launch_bce(const device::bce_view& view, double* loss, const Launch& launch) {
  const std::uint32_t blocks = sum_blocks(view.n);
  const launch_shape shape = {
      .grid = {blocks}, .threads = device::sum_threads, .shared_bytes = block_sum_bytes};
  launch(shape, device::bce_kernel, view);
  launch(launch_shape{.threads = device::sum_threads, .shared_bytes = block_sum_bytes},
         device::add_block_sums_kernel,
         static_cast<const double*>(view.partials),
         blocks,
         1U,
         loss);
}

}  // namespace headrace::kernels
