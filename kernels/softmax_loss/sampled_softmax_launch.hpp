#pragma once

#include "kernels/softmax_loss/sampled_softmax_kernel.hpp"

#include <algorithm>

/// Launch shapes of sampled_softmax. `launch(shape, kernel, args…)` queues one.
namespace headrace::kernels {

/// A warp a position, eight a block, to 1,024 candidates, 32 a lane; beyond that a block. As many
/// blocks as positions want up to 4,096, more than any device has at work; teams go round.
/// `partials`: sum_blocks(positions) doubles; `loss`: one double on the device.
template <class Launch>
void launch_sampled_softmax(const device::sampled_softmax_view& view,
                            double* partials,
                            double* loss,
                            const Launch& launch) {
  constexpr std::size_t blocks_max = 4096;
  const auto grid = [&](std::size_t teams_a_block) {
    const std::size_t blocks = (view.positions + teams_a_block - 1) / teams_a_block;
    return static_cast<unsigned>(std::min(blocks, blocks_max));
  };
  if (view.positions > 0 && view.candidates <= 1024) {
    launch(
        launch_shape{.grid = {grid(8)}, .threads = 256}, device::sampled_softmax_kernel<32>, view);
  } else if (view.positions > 0) {
    launch(launch_shape{.grid = {grid(1)}, .threads = 256, .shared_bytes = 8 * sizeof(float)},
           device::sampled_softmax_kernel<256>,
           view);
  }
  const std::uint32_t blocks = sum_blocks(view.positions);
  const launch_shape sums = {
      .grid = {blocks}, .threads = device::sum_threads, .shared_bytes = block_sum_bytes};
  launch(sums,
         device::sum_losses_kernel,
         static_cast<const float*>(view.losses),
         view.positions,
         partials);
  launch(launch_shape{.threads = device::sum_threads, .shared_bytes = block_sum_bytes},
         device::add_block_sums_kernel,
         static_cast<const double*>(partials),
         blocks,
         1U,
         loss);
}

}  // namespace headrace::kernels
