#pragma once

#include "kernels/gate_mix/gate_mix_kernel.hpp"

/// Launch shapes of gate_mix's kernels. `launch(shape, kernel, args…)` queues one.
namespace headrace::kernels {

/// Eight rows a block: warps wait for nobody, so a block is only what a multiprocessor schedules.
constexpr launch_shape gate_mix_shape(std::uint32_t rows) {
  return {.grid = {(rows + 7) / 8}, .threads = 256};
}

template <class Launch>
void launch_gate_mix(const device::gate_mix_forward_view& view, const Launch& launch) {
  if (view.rows > 0) launch(gate_mix_shape(view.rows), device::gate_mix_kernel, view);
}

template <class Launch>
void launch_gate_mix_backward(const device::gate_mix_backward_view& view, const Launch& launch) {
  if (view.rows > 0) launch(gate_mix_shape(view.rows), device::gate_mix_backward_kernel, view);
}

}  // namespace headrace::kernels
