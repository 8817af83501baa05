#pragma once

#include "kernels/moe_permute/moe_permute.hpp"
#include "kernels/runtime/warp_match.hpp"

#include <cstddef>
#include <cstdint>

/// The counting sort of assignments by (expert, token, slot) on a device (moe_permute.hpp has the
/// definition): counts a piece, a scan over pieces and experts, then places in order. No atomics on
/// global memory, no word to the host.
namespace headrace::kernels::device {

/// Assignments of a block, and its threads: it takes 256 at a time, in order.
constexpr unsigned plan_piece = 1024;
constexpr unsigned plan_threads = 256;
constexpr unsigned plan_warps = plan_threads / warp_threads;
constexpr unsigned plan_experts_max = 1024;

struct moe_plan_view {
  const std::uint32_t* routes;  // [assignments] < experts, or no_expert
  std::uint32_t* offsets;       // [experts + 1]
  std::uint32_t* places;        // [assignments]
  std::uint32_t* listed;        // [assignments], or null: listed[place] = assignment
  std::uint32_t* counts;        // [pieces, experts]: counts, then first places
  std::uint32_t assignments;
  std::uint32_t experts;
  std::uint32_t pieces;
};

/// Grid: a block a piece. Shared: `experts` words. Their atomics count: any order gives the same.
HEADRACE_KERNEL void moe_count_kernel(moe_plan_view view) {
  auto* counts = reinterpret_cast<unsigned*>(shared_memory());
  for (unsigned e = thread_index(); e < view.experts; e += plan_threads) counts[e] = 0;
  sync_block();
  const std::size_t first = std::size_t{block_index().x} * plan_piece;
  for (unsigned i = thread_index(); i < plan_piece; i += plan_threads) {
    if (first + i >= view.assignments) break;
    const std::uint32_t e = view.routes[first + i];
    if (e < view.experts) atomic_add(counts + e, 1U);
  }
  sync_block();
  for (unsigned e = thread_index(); e < view.experts; e += plan_threads) {
    view.counts[std::size_t{block_index().x} * view.experts + e] = counts[e];
  }
}

/// Exclusive sums over the lanes of a warp.
HEADRACE_DEVICE unsigned sum_before(unsigned value) {
  unsigned sum = value;
  HEADRACE_UNROLL
  for (unsigned step = 1; step < warp_threads; step *= 2) {
    const unsigned other = shuffle_up(sum, step);
    sum += lane() >= step ? other : 0U;
  }
  return sum - value;
}

/// totals [experts] become exclusive sums; warp 0 only. Returns the sum of all, in every lane.
HEADRACE_DEVICE unsigned scan_experts(unsigned* totals, unsigned experts) {
  const unsigned each = (experts + warp_threads - 1) / warp_threads;
  unsigned own = 0;
  for (unsigned i = 0; i < each; ++i) {
    const unsigned e = lane() * each + i;
    own += e < experts ? totals[e] : 0U;
  }
  unsigned before = sum_before(own);
  const unsigned all = shuffle(before + own, warp_threads - 1);
  for (unsigned i = 0; i < each; ++i) {
    const unsigned e = lane() * each + i;
    if (e >= experts) break;
    const unsigned count = totals[e];
    totals[e] = before;
    before += count;
  }
  return all;
}

/// One block: a thread sums an expert's counts over the pieces, warp 0 scans the experts, then the
/// thread turns its counts into first places. Shared: `experts` words.
HEADRACE_KERNEL void moe_scan_kernel(moe_plan_view view) {
  auto* totals = reinterpret_cast<unsigned*>(shared_memory());
  for (unsigned e = thread_index(); e < view.experts; e += plan_threads) {
    unsigned total = 0;
    for (std::size_t p = 0; p < view.pieces; ++p) total += view.counts[p * view.experts + e];
    totals[e] = total;
  }
  sync_block();
  if (warp() == 0) {
    const unsigned all = scan_experts(totals, view.experts);
    if (lane() == 0) view.offsets[view.experts] = all;
  }
  sync_block();
  for (unsigned e = thread_index(); e < view.experts; e += plan_threads) {
    unsigned place = totals[e];
    view.offsets[e] = place;
    for (std::size_t p = 0; p < view.pieces; ++p) {
      const std::size_t at = p * view.experts + e;
      const unsigned count = view.counts[at];
      view.counts[at] = place;
      place += count;
    }
  }
}

/// The next 256 assignments of a piece. `next` [experts]: where each expert's next one goes;
/// `of_warps` [plan_warps, experts]: zeros before and behind.
HEADRACE_DEVICE void place_round(const moe_plan_view& view,
                                 std::size_t i,
                                 unsigned* next,
                                 unsigned* of_warps) {
  const bool is_there = i < view.assignments;
  const std::uint32_t route = is_there ? view.routes[i] : no_expert;
  const unsigned e = route < view.experts ? route : view.experts;
  const unsigned same = lanes_with(e, bits_of(view.experts));
  const unsigned rank = lanes_before(same);
  const bool has_place = e < view.experts;
  if (has_place && rank == 0) of_warps[warp() * view.experts + e] = bits_set(same);
  sync_block();
  unsigned place = no_place;
  if (has_place) {
    place = next[e] + rank;
    for (unsigned w = 0; w < warp(); ++w) place += of_warps[w * view.experts + e];
    if (view.listed != nullptr) view.listed[place] = static_cast<std::uint32_t>(i);
  }
  if (is_there) view.places[i] = place;
  sync_block();
  for (unsigned own = thread_index(); own < view.experts; own += plan_threads) {
    for (unsigned w = 0; w < plan_warps; ++w) {
      next[own] += of_warps[w * view.experts + own];
      of_warps[w * view.experts + own] = 0;
    }
  }
  sync_block();
}

/// Grid: a block a piece. Shared: (1 + plan_warps) * experts words.
HEADRACE_KERNEL void moe_place_kernel(moe_plan_view view) {
  auto* next = reinterpret_cast<unsigned*>(shared_memory());
  unsigned* of_warps = next + view.experts;
  for (unsigned e = thread_index(); e < view.experts; e += plan_threads) {
    next[e] = view.counts[std::size_t{block_index().x} * view.experts + e];
    for (unsigned w = 0; w < plan_warps; ++w) of_warps[w * view.experts + e] = 0;
  }
  sync_block();
  const std::size_t first = std::size_t{block_index().x} * plan_piece;
  for (unsigned begin = 0; begin < plan_piece; begin += plan_threads) {
    place_round(view, first + begin + thread_index(), next, of_warps);
  }
}

}  // namespace headrace::kernels::device
