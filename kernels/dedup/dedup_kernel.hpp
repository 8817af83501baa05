#pragma once

#include "kernels/runtime/block_ranks.hpp"

#include <cstdint>

/// Unique keys on a device (dedup.hpp has the contract): sorted with their positions, the first of
/// each run of equals found, counted and ranked.
namespace headrace::kernels::device {

struct dedup_view {
  const std::uint64_t* sorted_keys;  // [n]
  const std::uint32_t* sorted_at;    // [n] where each stood
  std::uint64_t* unique;             // [n], the first *unique_count filled
  std::uint32_t* inverse;            // [n]
  std::uint32_t* counts;             // [n], the first *unique_count filled
  std::uint32_t* unique_count;       // 1
  std::uint32_t* positions;          // [n] 0, 1, 2 …: what is sorted along
  std::uint32_t* starts;             // [n] where the run of each unique key begins
  std::uint32_t* heads;              // [blocks] firsts of runs, then the sum of those before
  std::uint32_t n;
};

/// A thread a key.
HEADRACE_KERNEL void number_positions_kernel(dedup_view view) {
  const std::uint64_t i = std::uint64_t{block_index().x} * block_threads() + thread_index();
  if (i < view.n) view.positions[i] = static_cast<std::uint32_t>(i);
}

HEADRACE_DEVICE bool is_head(const dedup_view& view, std::uint64_t i) {
  return i < view.n && (i == 0 || view.sorted_keys[i] != view.sorted_keys[i - 1]);
}

/// Firsts of runs among this block's items.
HEADRACE_KERNEL void count_heads_kernel(dedup_view view) {
  auto* warp_sums = reinterpret_cast<std::uint32_t*>(shared_memory());
  const std::uint64_t first = std::uint64_t{block_index().x} * rank_items;
  std::uint32_t mine = 0;
  for (std::uint32_t tile = 0; tile < rank_tiles; ++tile) {
    mine += is_head(view, first + tile * rank_threads + thread_index()) ? 1U : 0U;
  }
  std::uint32_t total = 0;
  sum_before(mine, warp_sums, total);
  if (thread_index() == 0) view.heads[block_index().x] = total;
}

/// Each sorted key's rank among the unique ones, to where the key stood.
HEADRACE_KERNEL void rank_keys_kernel(dedup_view view) {
  auto* warp_counts = reinterpret_cast<std::uint32_t*>(shared_memory());
  const std::uint64_t first = std::uint64_t{block_index().x} * rank_items;
  std::uint32_t before = view.heads[block_index().x];
  for (std::uint32_t tile = 0; tile < rank_tiles; ++tile) {
    const std::uint64_t i = first + tile * rank_threads + thread_index();
    const bool head = is_head(view, i);
    std::uint32_t total = 0;
    const std::uint32_t heads_before = before + rank_in_tile(head, warp_counts, total);
    before += total;
    if (i >= view.n) continue;
    const std::uint32_t rank = head ? heads_before : heads_before - 1;
    view.inverse[view.sorted_at[i]] = rank;
    if (!head) continue;
    view.unique[rank] = view.sorted_keys[i];
    view.starts[rank] = static_cast<std::uint32_t>(i);
  }
}

/// A thread a unique key, as many threads as keys: the length of its run.
HEADRACE_KERNEL void measure_runs_kernel(dedup_view view) {
  const std::uint64_t rank = std::uint64_t{block_index().x} * block_threads() + thread_index();
  const std::uint32_t unique = *view.unique_count;
  if (rank >= unique) return;
  const std::uint32_t end = rank + 1 < unique ? view.starts[rank + 1] : view.n;
  view.counts[rank] = end - view.starts[rank];
}

}  // namespace headrace::kernels::device
