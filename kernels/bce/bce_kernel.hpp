#pragma once

#include "kernels/runtime/block_sums.hpp"
#include "kernels/runtime/near_math.hpp"

#include <cstddef>
#include <cstdint>

/// Binary cross-entropy on a device (bce.hpp has the maths): a thread has every n-th sample.
namespace headrace::kernels::device {

/// σ(z), with e = e^-|z|.
HEADRACE_DEVICE float sigmoid_of(float z, float e) { return (z >= 0.0F ? 1.0F : e) / (1.0F + e); }

/// max(z, 0) − z y + ln(1 + e), e = e^-|z|.
HEADRACE_DEVICE float cross_entropy_of(float z, float y, float e) {
  return (z > 0.0F ? z : 0.0F) - z * y + log1p_near(e);
}

struct bce_view {
  const float* logits;     // [n]
  const float* labels;     // [n]
  float* probabilities;    // [n]
  float* logit_gradients;  // [n]
  double* partials;        // [blocks]: the loss of each
  std::size_t n;
};

/// Any grid of blocks of sum_threads. Shared: 8 doubles.
HEADRACE_KERNEL void bce_kernel(bce_view view) {
  const std::size_t step = std::size_t{grid_blocks().x} * sum_threads;
  double loss = 0.0;
  for (std::size_t i = std::size_t{block_index().x} * sum_threads + thread_index(); i < view.n;
       i += step) {
    const float z = view.logits[i];
    const float y = view.labels[i];
    const float e = exp_near(-size_of(z));
    const float p = sigmoid_of(z, e);
    view.probabilities[i] = p;
    view.logit_gradients[i] = p - y;
    loss += static_cast<double>(cross_entropy_of(z, y, e));
  }
  loss = block_sum(loss, reinterpret_cast<double*>(shared_memory()));
  if (thread_index() == 0) view.partials[block_index().x] = loss;
}

}  // namespace headrace::kernels::device
