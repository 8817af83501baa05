#pragma once

#include "kernels/moe_router/route.hpp"
#include "kernels/runtime/warp_match.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>

/// Capacity of experts on a device: of the assignments to an expert its `capacity` largest gates
/// stay, ties to the lower assignment. A block an expert: a radix select of the smallest gate that
/// stays, eight bits a pass, then one pass in order.
namespace headrace::kernels::device {

constexpr unsigned capacity_threads = 256;
constexpr unsigned capacity_digits = 256;

struct capacity_view {
  const float* gates;            // [assignments], in [0, 1]
  const std::uint32_t* offsets;  // [experts + 1], of moe_plan on what was chosen
  const std::uint32_t* listed;   // [assignments]: an expert's, ascending, behind one another
  std::uint32_t* routes;         // [assignments]: what has no room becomes no_expert
  std::uint32_t capacity;
};

/// Gates are not negative, so their bits have their order.
HEADRACE_DEVICE unsigned gate_bits(const capacity_view& view, std::uint32_t place) {
  return std::bit_cast<unsigned>(view.gates[view.listed[place]]);
}

/// Where the search for the smallest gate that stays is: its upper bits, and how many gates that
/// begin with them stay.
struct gate_search {
  unsigned prefix;
  unsigned room;
};

/// The next eight bits, from `shift` on. `counts` [capacity_digits], `found` [2] in shared memory.
HEADRACE_DEVICE gate_search next_digit(const capacity_view& view,
                                       std::uint32_t begin,
                                       std::uint32_t end,
                                       unsigned shift,
                                       const gate_search& now,
                                       unsigned* counts,
                                       unsigned* found) {
  counts[thread_index()] = 0;
  sync_block();
  for (std::uint32_t i = begin + thread_index(); i < end; i += capacity_threads) {
    const unsigned bits = gate_bits(view, i);
    const bool fits = shift == 24 || bits >> (shift + 8) == now.prefix;
    if (fits) atomic_add(counts + (bits >> shift) % capacity_digits, 1U);
  }
  sync_block();
  if (thread_index() == 0) {
    unsigned digit = capacity_digits - 1;
    unsigned room = now.room;
    while (digit > 0 && counts[digit] < room) room -= counts[digit--];
    found[0] = now.prefix << 8 | digit;
    found[1] = room;
  }
  sync_block();
  return {found[0], found[1]};
}

/// Of 256 assignments from `first` on, in order: those above the smallest gate stay, of those equal
/// to it the first `room`. `of_warps`: 8 words. Returns how many equal ones there were.
HEADRACE_DEVICE unsigned keep_in_order(const capacity_view& view,
                                       std::uint32_t first,
                                       std::uint32_t end,
                                       const gate_search& smallest,
                                       unsigned seen,
                                       unsigned* of_warps) {
  const std::uint32_t i = first + thread_index();
  const unsigned bits = i < end ? gate_bits(view, i) : 0U;
  const bool is_equal = i < end && bits == smallest.prefix;
  const unsigned equal = ballot(is_equal);
  if (lane() == 0) of_warps[warp()] = bits_set(equal);
  sync_block();
  unsigned rank = seen + lanes_before(equal);
  unsigned all = 0;
  for (unsigned w = 0; w < capacity_threads / warp_threads; ++w) {
    if (w < warp()) rank += of_warps[w];
    all += of_warps[w];
  }
  const bool stays = bits > smallest.prefix || (is_equal && rank < smallest.room);
  if (i < end && !stays) view.routes[view.listed[i]] = no_expert;
  sync_block();
  return all;
}

/// Grid: a block an expert. Shared: capacity_digits + 8 + 2 words.
HEADRACE_KERNEL void moe_capacity_kernel(capacity_view view) {
  auto* counts = reinterpret_cast<unsigned*>(shared_memory());
  unsigned* of_warps = counts + capacity_digits;
  unsigned* found = of_warps + capacity_threads / warp_threads;
  const std::uint32_t begin = view.offsets[block_index().x];
  const std::uint32_t end = view.offsets[block_index().x + 1];
  if (end - begin <= view.capacity) return;
  gate_search smallest = {0, view.capacity};
  for (unsigned pass = 0; pass < 4; ++pass) {
    smallest = next_digit(view, begin, end, 24 - 8 * pass, smallest, counts, found);
  }
  unsigned seen = 0;
  for (std::uint32_t first = begin; first < end; first += capacity_threads) {
    seen += keep_in_order(view, first, end, smallest, seen, of_warps);
  }
}

}  // namespace headrace::kernels::device
