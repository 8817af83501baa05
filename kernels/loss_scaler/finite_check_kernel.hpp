#pragma once

#include "kernels/loss_scaler/scaler_step.hpp"
#include "kernels/runtime/block_sums.hpp"
#include "kernels/runtime/row_team.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>

/// Finite check and norm of gradients on a device (finite_check.hpp has the definition), and the
/// loss scaler's step behind it without a word to the host.
namespace headrace::kernels::device {

/// What one pass over gradients leaves of each block.
struct gradient_scan_view {
  const float* gradients;  // [n]
  std::uint32_t* largest;  // [blocks]: bits of the largest |g|, NaN above infinity
  double* squares;         // [blocks]: Σ g², or null
  std::size_t n;
  bool aligned;  // gradients start at a multiple of 16 bytes
};

HEADRACE_DEVICE std::uint32_t size_bits(float x) {
  return std::bit_cast<std::uint32_t>(x) & 0x7FFFFFFFU;
}

HEADRACE_DEVICE std::uint32_t larger_of(std::uint32_t a, std::uint32_t b) { return a > b ? a : b; }

/// The largest over a block of sum_threads, in thread 0. `scratch`: 8 words.
HEADRACE_DEVICE std::uint32_t block_largest(std::uint32_t value, std::uint32_t* scratch) {
  const std::uint32_t own = warp_max(value);
  if (lane() == 0) scratch[warp()] = own;
  sync_block();
  std::uint32_t largest = 0;
  for (unsigned w = 0; w < sum_threads / warp_threads; ++w) {
    largest = larger_of(largest, scratch[w]);
  }
  sync_block();
  return largest;
}

HEADRACE_DEVICE void take_gradient(float g, std::uint32_t& largest, double& squares) {
  largest = larger_of(largest, size_bits(g));
  squares += static_cast<double>(g) * static_cast<double>(g);
}

/// Any grid of blocks of sum_threads: 16 bytes a thread at a time, then what is left of four.
/// Shared: 8 doubles.
HEADRACE_KERNEL void gradient_scan_kernel(gradient_scan_view view) {
  std::uint32_t largest = 0;
  double squares = 0.0;
  const std::size_t own = std::size_t{block_index().x} * sum_threads + thread_index();
  const std::size_t step = std::size_t{grid_blocks().x} * sum_threads;
  const std::size_t quads = view.aligned ? view.n / 4 : 0;
  for (std::size_t i = own; i < quads; i += step) {
    const auto four = std::bit_cast<four_floats>(load_16(view.gradients + 4 * i));
    HEADRACE_UNROLL
    for (unsigned j = 0; j < 4; ++j) take_gradient(four.v[j], largest, squares);
  }
  for (std::size_t i = 4 * quads + own; i < view.n; i += step) {
    take_gradient(view.gradients[i], largest, squares);
  }
  largest = block_largest(largest, reinterpret_cast<std::uint32_t*>(shared_memory()));
  if (thread_index() == 0) view.largest[block_index().x] = largest;
  if (view.squares == nullptr) return;
  squares = block_sum(squares, reinterpret_cast<double*>(shared_memory()));
  if (thread_index() == 0) view.squares[block_index().x] = squares;
}

/// What the scan of all blocks says, and what the scaler makes of it.
struct gradient_verdict {
  std::uint32_t largest;  // bits of the largest |g|
  std::uint32_t finite;   // 1: every gradient is; the step may be applied
  float inverse;          // 1 / the scale the gradients were made with
  float pad;
  double squares;  // Σ (g * inverse)²; 0 where none were asked for
};

/// One block of sum_threads. `scaler` null: no loss scale (inverse 1). Shared: 8 doubles.
HEADRACE_KERNEL void gradient_verdict_kernel(gradient_scan_view view,
                                             std::uint32_t blocks,
                                             scaler_rule rule,
                                             scaler_words* scaler,
                                             gradient_verdict* verdict) {
  std::uint32_t largest = 0;
  double squares = 0.0;
  for (std::uint32_t b = thread_index(); b < blocks; b += sum_threads) {
    largest = larger_of(largest, view.largest[b]);
    if (view.squares != nullptr) squares += view.squares[b];
  }
  largest = block_largest(largest, reinterpret_cast<std::uint32_t*>(shared_memory()));
  squares = block_sum(squares, reinterpret_cast<double*>(shared_memory()));
  if (thread_index() != 0) return;
  const bool finite = largest < 0x7F800000U;
  const float inverse = scaler == nullptr ? 1.0F : 1.0F / scaler->scale;
  if (scaler != nullptr) *scaler = after_step(*scaler, rule, finite);
  const double factor = static_cast<double>(inverse);
  *verdict = {largest, finite ? 1U : 0U, inverse, 0.0F, squares * factor * factor};
}

}  // namespace headrace::kernels::device
