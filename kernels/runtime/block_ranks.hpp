#pragma once

#include "kernels/runtime/device.hpp"

#include <bit>
#include <cstdint>

/// Counting in order: how many of the items before this one are wanted. What compaction, dedup and
/// selection are made of; integers only, so the same on every device.
namespace headrace::kernels::device {

/// Items of a block: a run of neighbours, cut into tiles of one item a thread.
constexpr unsigned rank_threads = 256;
constexpr std::uint32_t rank_tiles = 16;
constexpr std::uint32_t rank_items = rank_threads * rank_tiles;
constexpr unsigned rank_warps = rank_threads / warp_threads;

/// Shared memory of rank_in_tile and scan_counts: a count for each warp.
constexpr std::size_t rank_shared_bytes = rank_warps * sizeof(std::uint32_t);

HEADRACE_BOTH std::uint32_t rank_blocks(std::uint32_t items) {
  return items / rank_items + (items % rank_items != 0 ? 1U : 0U);
}

/// How many threads of the block before this one have `wanted`; `total` of all. All threads call
/// it.
HEADRACE_DEVICE std::uint32_t rank_in_tile(bool wanted,
                                           std::uint32_t* warp_counts,
                                           std::uint32_t& total) {
  const unsigned votes = ballot(wanted);
  if (lane() == 0) warp_counts[warp()] = static_cast<std::uint32_t>(std::popcount(votes));
  sync_block();
  std::uint32_t before = 0;
  total = 0;
  for (unsigned w = 0; w < rank_warps; ++w) {
    if (w < warp()) before += warp_counts[w];
    total += warp_counts[w];
  }
  sync_block();  // nobody counts the next tile before all have read this one
  return before + static_cast<std::uint32_t>(std::popcount(votes & ((1U << lane()) - 1U)));
}

/// The sum of `value` over the threads before this one; `total` over all. All threads call it.
HEADRACE_DEVICE std::uint32_t sum_before(std::uint32_t value,
                                         std::uint32_t* warp_sums,
                                         std::uint32_t& total) {
  std::uint32_t running = value;  // of this warp, this lane included
  for (unsigned step = 1; step < warp_threads; step *= 2) {
    const std::uint32_t other = shuffle_up(running, step);
    if (lane() >= step) running += other;
  }
  if (lane() == warp_threads - 1) warp_sums[warp()] = running;
  sync_block();
  std::uint32_t before = 0;
  total = 0;
  for (unsigned w = 0; w < rank_warps; ++w) {
    if (w < warp()) before += warp_sums[w];
    total += warp_sums[w];
  }
  sync_block();
  return before + running - value;
}

/// One block of rank_threads: each count becomes the sum of those before it, `total` that of all.
HEADRACE_KERNEL void scan_counts_kernel(std::uint32_t* counts,
                                        std::uint32_t n,
                                        std::uint32_t* total) {
  auto* warp_sums = reinterpret_cast<std::uint32_t*>(shared_memory());
  std::uint32_t carried = 0;
  for (std::uint32_t first = 0; first < n; first += rank_threads) {
    const std::uint32_t i = first + thread_index();
    const std::uint32_t value = i < n ? counts[i] : 0;
    std::uint32_t of_tile = 0;
    const std::uint32_t before = sum_before(value, warp_sums, of_tile);
    if (i < n) counts[i] = carried + before;
    carried += of_tile;
  }
  if (thread_index() == 0) *total = carried;
}

}  // namespace headrace::kernels::device
