#pragma once

#include "kernels/fm/fm_kernel.hpp"

/// Launch shapes of fm's kernels. `launch(shape, kernel, args…)` queues one.
namespace headrace::kernels {

/// Eight warps a block: a sample's or a piece's warp waits for nobody.
constexpr std::uint32_t fm_warps = 8;

constexpr launch_shape fm_warps_for(std::size_t warps) {
  return {.grid = {static_cast<unsigned>((warps + fm_warps - 1) / fm_warps)},
          .threads = 32 * fm_warps};
}

/// The narrowest groups that hold a row: rows of 1 + latent_dim columns are gathered once.
template <class Launch>
void launch_fm_forward(const device::fm_forward_view& view, const Launch& launch) {
  if (view.samples == 0) return;
  const launch_shape shape = fm_warps_for(view.samples);
  if (view.latent_dim < 4) return launch(shape, device::fm_forward_kernel<4>, view);
  if (view.latent_dim < 8) return launch(shape, device::fm_forward_kernel<8>, view);
  if (view.latent_dim < 16) return launch(shape, device::fm_forward_kernel<16>, view);
  launch(shape, device::fm_forward_kernel<32>, view);
}

/// Floats of heads, and again of tails.
constexpr std::size_t fm_partials(std::size_t occurrences, std::size_t latent_dim) {
  return (occurrences + device::fm_piece - 1) / device::fm_piece * (1 + latent_dim);
}

/// Both phases and the bias's gradient (one float, written).
template <class Launch>
void launch_fm_backward(const device::fm_backward_view& view,
                        std::uint32_t samples,
                        float* bias_gradient,
                        const Launch& launch) {
  launch(launch_shape{.threads = 256, .shared_bytes = 8 * sizeof(double)},
         device::sum_in_double_kernel,
         view.logit_gradients,
         samples,
         bias_gradient);
  if (view.occurrences == 0) return;
  const std::size_t pieces = (view.occurrences + device::fm_piece - 1) / device::fm_piece;
  launch(fm_warps_for(pieces), device::fm_backward_kernel, view);
  if (pieces > 1) launch(fm_warps_for(pieces - 1), device::fm_long_rows_kernel, view);
}

}  // namespace headrace::kernels
