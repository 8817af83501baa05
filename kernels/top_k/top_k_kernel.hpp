#pragma once

#include "kernels/runtime/block_ranks.hpp"
#include "kernels/top_k/digits.hpp"

#include <cstdint>

/// Selection of the largest magnitudes on a device (top_k.hpp has the contract): three histograms
/// narrow the threshold to one magnitude, then what lies above it is compacted in order, and of
/// what equals it the first. Counts are integers, so atomics and all do the same each run.
namespace headrace::kernels::device {

/// What the rounds know; in device memory, never read by the host.
struct selection {
  std::uint32_t prefix;     // leading digits of the threshold
  std::uint32_t remaining;  // how many of those with this prefix are wanted
  std::uint32_t above;      // totals of the scans: all above the threshold
  std::uint32_t equal;      // and all equal to it
};

struct top_k_view {
  const float* values;        // [n]
  std::uint32_t* indices;     // [k], ascending
  float* selected;            // [k]
  selection* state;           // 1
  std::uint32_t* histograms;  // [digit_rounds, digits_max]
  std::uint32_t* above;       // [blocks] counts, then sums of those before
  std::uint32_t* equal;       // [blocks]
  std::uint32_t n;
  std::uint32_t k;
};

/// One block: no digits are counted yet, all of k is wanted.
HEADRACE_KERNEL void begin_selection_kernel(top_k_view view) {
  for (std::uint32_t i = thread_index(); i < digit_rounds * digits_max; i += block_threads()) {
    view.histograms[i] = 0;
  }
  if (thread_index() == 0) *view.state = {0, view.k, 0, 0};
}

/// The digits of this block's items that have the prefix, counted in shared memory, then added to
/// the histogram of all.
HEADRACE_KERNEL void count_digits_kernel(top_k_view view, unsigned round) {
  auto* counts = reinterpret_cast<std::uint32_t*>(shared_memory());
  const std::uint32_t digits = digits_in(round);
  for (std::uint32_t i = thread_index(); i < digits; i += block_threads()) counts[i] = 0;
  sync_block();
  const std::uint32_t prefix = view.state->prefix;
  const std::uint64_t first = std::uint64_t{block_index().x} * rank_items;
  for (std::uint64_t i = first + thread_index(); i < first + rank_items && i < view.n;
       i += block_threads()) {
    const std::uint32_t bits = magnitude_bits(view.values[i]);
    if (prefix_of(bits, round) == prefix) atomic_add(counts + digit_of(bits, round), 1U);
  }
  sync_block();
  std::uint32_t* all = view.histograms + round * digits_max;
  for (std::uint32_t i = thread_index(); i < digits; i += block_threads()) {
    if (counts[i] != 0) atomic_add(all + i, counts[i]);
  }
}

/// One block of rank_threads: the digit at which the largest reach what remains. A thread has
/// neighbouring digits, the first thread the highest.
HEADRACE_KERNEL void pick_digit_kernel(top_k_view view, unsigned round) {
  auto* warp_sums = reinterpret_cast<std::uint32_t*>(shared_memory());
  const std::uint32_t* counts = view.histograms + round * digits_max;
  const std::uint32_t each = digits_in(round) / rank_threads;
  const std::uint32_t highest = digits_in(round) - 1 - thread_index() * each;
  const std::uint32_t remaining = view.state->remaining;
  const std::uint32_t prefix = view.state->prefix;
  std::uint32_t mine = 0;
  for (std::uint32_t d = 0; d < each; ++d) mine += counts[highest - d];
  std::uint32_t total = 0;
  std::uint32_t larger = sum_before(mine, warp_sums, total);  // all have read the state by now
  if (larger >= remaining || larger + mine < remaining) return;
  std::uint32_t digit = highest;
  while (larger + counts[digit] < remaining) larger += counts[digit--];
  view.state->prefix = with_digit(prefix, digit, round);
  view.state->remaining = remaining - larger;
}

/// How many of this block's items are above the threshold, how many equal to it.
HEADRACE_KERNEL void count_selected_kernel(top_k_view view) {
  auto* warp_sums = reinterpret_cast<std::uint32_t*>(shared_memory());
  const std::uint32_t threshold = view.state->prefix;
  const std::uint64_t first = std::uint64_t{block_index().x} * rank_items;
  std::uint32_t above = 0;
  std::uint32_t equal = 0;
  for (std::uint32_t tile = 0; tile < rank_tiles; ++tile) {
    const std::uint64_t i = first + tile * rank_threads + thread_index();
    if (i >= view.n) break;
    const std::uint32_t bits = magnitude_bits(view.values[i]);
    above += bits > threshold ? 1U : 0U;
    equal += bits == threshold ? 1U : 0U;
  }
  std::uint32_t all_above = 0;
  std::uint32_t all_equal = 0;
  sum_before(above, warp_sums, all_above);
  sum_before(equal, warp_sums, all_equal);
  if (thread_index() != 0) return;
  view.above[block_index().x] = all_above;
  view.equal[block_index().x] = all_equal;
}

/// Writes what is selected to its place: behind all above the threshold before it, and those equal
/// before it that are wanted.
HEADRACE_KERNEL void compact_selected_kernel(top_k_view view) {
  auto* warp_counts = reinterpret_cast<std::uint32_t*>(shared_memory());
  const std::uint32_t threshold = view.state->prefix;
  const std::uint32_t ties = view.state->remaining;
  const std::uint64_t first = std::uint64_t{block_index().x} * rank_items;
  std::uint32_t above = view.above[block_index().x];
  std::uint32_t equal = view.equal[block_index().x];
  for (std::uint32_t tile = 0; tile < rank_tiles; ++tile) {
    const std::uint64_t i = first + tile * rank_threads + thread_index();
    const bool here = i < view.n;
    const float value = here ? view.values[i] : 0.0F;
    const std::uint32_t bits = magnitude_bits(value);
    const bool is_above = here && bits > threshold;
    const bool is_equal = here && bits == threshold;
    std::uint32_t tile_above = 0;
    std::uint32_t tile_equal = 0;
    const std::uint32_t above_before = above + rank_in_tile(is_above, warp_counts, tile_above);
    const std::uint32_t equal_before = equal + rank_in_tile(is_equal, warp_counts, tile_equal);
    if (is_above || (is_equal && equal_before < ties)) {
      const std::uint32_t at = above_before + (equal_before < ties ? equal_before : ties);
      view.indices[at] = static_cast<std::uint32_t>(i);
      view.selected[at] = value;
    }
    above += tile_above;
    equal += tile_equal;
  }
}

}  // namespace headrace::kernels::device
