#pragma once

#include "kernels/runtime/near_math.hpp"
#include "kernels/runtime/row_team.hpp"

#include <cstddef>
#include <cstdint>

/// Gates of a mixture of experts on a device (gate_mix.hpp has the maths): a warp a row.
namespace headrace::kernels::device {

struct gate_mix_forward_view {
  const float* gate_logits;     // [rows, experts]
  const float* expert_outputs;  // [rows, experts, dim]
  float* gates;                 // [rows, experts]
  float* outputs;               // [rows, dim]
  std::uint32_t rows;
  std::uint32_t experts;
  std::uint32_t dim;
  bool aligned;  // vectors of dim start at multiples of 16 bytes
};

/// Softmax of a row over the lanes of a warp, NaN where a logit is (by way of the sum): `to` is
/// read by its own warp only after sync_warp.
HEADRACE_DEVICE void warp_softmax(const float* logits, unsigned n, float* to) {
  float largest = logits[0];
  for (unsigned e = lane(); e < n; e += warp_threads) {
    largest = logits[e] > largest ? logits[e] : largest;
  }
  largest = warp_max(largest);
  float sum = 0.0F;
  for (unsigned e = lane(); e < n; e += warp_threads) sum += exp_near(logits[e] - largest);
  sum = warp_sum(sum);
  for (unsigned e = lane(); e < n; e += warp_threads) to[e] = exp_near(logits[e] - largest) / sum;
}

/// Grid: a warp a row.
HEADRACE_KERNEL void gate_mix_kernel(gate_mix_forward_view view) {
  const std::size_t row = team_index<32>();
  if (row >= view.rows) return;
  float* gates = view.gates + row * view.experts;
  warp_softmax(view.gate_logits + row * view.experts, view.experts, gates);
  sync_warp();
  const float* experts = view.expert_outputs + row * view.experts * view.dim;
  for (unsigned c = lane() * 4; c < view.dim; c += warp_threads * 4) {
    four_floats sums = {{0.0F, 0.0F, 0.0F, 0.0F}};
    for (unsigned e = 0; e < view.experts; ++e) {
      const float gate = gates[e];
      const four_floats v =
          load_four(experts + std::size_t{e} * view.dim, c, view.dim, view.aligned);
      HEADRACE_UNROLL
      for (unsigned j = 0; j < 4; ++j) sums.v[j] += gate * v.v[j];
    }
    store_four(view.outputs + row * view.dim, c, view.dim, view.aligned, sums);
  }
}

struct gate_mix_backward_view {
  const float* gates;             // [rows, experts]
  const float* expert_outputs;    // [rows, experts, dim]
  const float* output_gradients;  // [rows, dim]
  float* gate_logit_gradients;    // [rows, experts]
  float* expert_gradients;        // [rows, experts, dim]
  std::uint32_t rows;
  std::uint32_t experts;
  std::uint32_t dim;
  bool aligned;
};

/// expert_gradients = gate * d; returns ⟨d, expert⟩, in every lane.
HEADRACE_DEVICE float take_expert(const gate_mix_backward_view& view,
                                  std::size_t row,
                                  std::size_t expert,
                                  float gate) {
  const float* outputs = view.expert_outputs + expert * view.dim;
  const float* gradients = view.output_gradients + row * view.dim;
  float product = 0.0F;
  for (unsigned c = lane() * 4; c < view.dim; c += warp_threads * 4) {
    const four_floats v = load_four(outputs, c, view.dim, view.aligned);
    four_floats d = load_four(gradients, c, view.dim, view.aligned);
    HEADRACE_UNROLL
    for (unsigned j = 0; j < 4; ++j) {
      product += d.v[j] * v.v[j];
      d.v[j] *= gate;
    }
    store_four(view.expert_gradients + expert * view.dim, c, view.dim, view.aligned, d);
  }
  return warp_sum(product);
}

/// Grid: a warp a row. The products wait where the logits' gradients will be.
HEADRACE_KERNEL void gate_mix_backward_kernel(gate_mix_backward_view view) {
  const std::size_t row = team_index<32>();
  if (row >= view.rows) return;
  const std::size_t first = row * view.experts;
  float mean = 0.0F;
  for (unsigned e = 0; e < view.experts; ++e) {
    const float gate = view.gates[first + e];
    const float product = take_expert(view, row, first + e, gate);
    if (lane() == 0) view.gate_logit_gradients[first + e] = product;
    mean += gate * product;
  }
  sync_warp();
  for (unsigned e = lane(); e < view.experts; e += warp_threads) {
    const float product = view.gate_logit_gradients[first + e];
    view.gate_logit_gradients[first + e] = view.gates[first + e] * (product - mean);
  }
}

}  // namespace headrace::kernels::device
