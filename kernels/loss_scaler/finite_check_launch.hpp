#pragma once

#include "kernels/loss_scaler/finite_check_kernel.hpp"

/// Launch shapes of the gradient scan. `launch(shape, kernel, args…)` queues one.
namespace headrace::kernels {

/// Two kernels: a scan in up to 1,024 blocks, then one block that says what it found and moves the
/// loss scaler (null: none). view.largest, view.squares: sum_blocks(n) each.
template <class Launch>
void launch_gradient_scan(const device::gradient_scan_view& view,
                          const device::scaler_rule& rule,
                          device::scaler_words* scaler,
                          device::gradient_verdict* verdict,
                          const Launch& launch) {
  const std::uint32_t blocks = sum_blocks(view.n);
  const launch_shape shape = {
      .grid = {blocks}, .threads = device::sum_threads, .shared_bytes = block_sum_bytes};
  launch(shape, device::gradient_scan_kernel, view);
  launch(launch_shape{.threads = device::sum_threads, .shared_bytes = block_sum_bytes},
         device::gradient_verdict_kernel,
         view,
         blocks,
         rule,
         scaler,
         verdict);
}

}  // namespace headrace::kernels
