#pragma once

#include "kernels/layer_norm/layer_norm_kernel.hpp"
#include "kernels/runtime/column_sums_launch.hpp"

#include <algorithm>

/// Launch shapes of layer_norm's kernels. `launch(shape, kernel, args…)` queues one.
namespace headrace::kernels {

constexpr std::uint32_t layer_norm_dim_max = 8192;

/// Rows up to 512 wide have a warp each, eight in a block: no barrier, and 16 values a lane at
/// most. Wider ones have a block, of 256 threads up to 4,096 columns, else of 512.
constexpr std::uint32_t norm_warps = 8;

/// Teams of the backward pass: of sizes alone, so that a sum has the same order on every device.
/// Eight rows a team at least, else the partial sums would be a good part of what is moved; 2,112
/// warps or 264 blocks at most: more than are resident at a time on any device of today.
constexpr std::uint32_t layer_norm_teams(std::uint32_t rows, std::uint32_t dim) {
  const std::uint32_t teams = (rows + 7) / 8;
  if (dim > 512) return std::min(std::max(teams, 1U), 264U);
  return (std::min(std::max(teams, 1U), 2112U) + norm_warps - 1) / norm_warps * norm_warps;
}

/// Floats that the backward pass leaves between its phases.
constexpr std::size_t layer_norm_workspace(std::uint32_t rows, std::uint32_t dim, bool centred) {
  return std::size_t{layer_norm_teams(rows, dim)} * dim * (centred ? 2 : 1);
}

template <unsigned Team, unsigned Steps, class Launch>
void launch_norm_rows(const device::layer_norm_forward_view& view, const Launch& launch) {
  const std::uint32_t a_block = Team == 32 ? norm_warps : 1;
  launch(launch_shape{.grid = {(view.rows + a_block - 1) / a_block},
                      .threads = Team * a_block,
                      .shared_bytes = Team / 32 * sizeof(float)},
         device::layer_norm_forward_kernel<Team, Steps>,
         view);
}

/// 1 <= dim <= layer_norm_dim_max.
template <class Launch>
void launch_layer_norm_forward(const device::layer_norm_forward_view& view, const Launch& launch) {
  if (view.rows == 0) return;
  if (view.dim <= 128) return launch_norm_rows<32, 1>(view, launch);
  if (view.dim <= 256) return launch_norm_rows<32, 2>(view, launch);
  if (view.dim <= 512) return launch_norm_rows<32, 4>(view, launch);
  if (view.dim <= 1024) return launch_norm_rows<256, 1>(view, launch);
  if (view.dim <= 2048) return launch_norm_rows<256, 2>(view, launch);
  if (view.dim <= 4096) return launch_norm_rows<256, 4>(view, launch);
  return launch_norm_rows<512, 4>(view, launch);
}

template <unsigned Team, unsigned Steps, class Launch>
void launch_norm_gradients(const device::layer_norm_backward_view& view, const Launch& launch) {
  const std::uint32_t a_block = Team == 32 ? norm_warps : 1;
  launch(launch_shape{.grid = {layer_norm_teams(view.rows, view.dim) / a_block},
                      .threads = Team * a_block,
                      .shared_bytes = Team / 32 * sizeof(float)},
         device::layer_norm_backward_kernel<Team, Steps>,
         view);
}

template <class Launch>
void launch_norm_first_phase(const device::layer_norm_backward_view& view, const Launch& launch) {
  if (view.dim <= 128) return launch_norm_gradients<32, 1>(view, launch);
  if (view.dim <= 256) return launch_norm_gradients<32, 2>(view, launch);
  if (view.dim <= 512) return launch_norm_gradients<32, 4>(view, launch);
  if (view.dim <= 1024) return launch_norm_gradients<256, 1>(view, launch);
  if (view.dim <= 2048) return launch_norm_gradients<256, 2>(view, launch);
  if (view.dim <= 4096) return launch_norm_gradients<256, 4>(view, launch);
  return launch_norm_gradients<512, 4>(view, launch);
}

/// Both phases; the view's partials point into layer_norm_workspace floats.
template <class Launch>
void launch_layer_norm_backward(const device::layer_norm_backward_view& view,
                                float* gain_gradients,
                                float* bias_gradients,
                                const Launch& launch) {
  if (view.rows == 0) return;
  launch_norm_first_phase(view, launch);
  const std::uint32_t teams = layer_norm_teams(view.rows, view.dim);
  launch_column_sums(
      device::column_sums_view{view.gain_partials, view.dim, teams, view.dim, gain_gradients},
      launch);
  if (bias_gradients == nullptr) return;
  launch_column_sums(
      device::column_sums_view{view.bias_partials, view.dim, teams, view.dim, bias_gradients},
      launch);
}

}  // namespace headrace::kernels
