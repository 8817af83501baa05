#pragma once

#include "kernels/runtime/emulated_async.hpp"
#include "kernels/runtime/hopper.hpp"

#include <type_traits>

/// hopper.hpp's words on fibers (emulated_async.hpp). Only hopper.hpp includes this.

#define HEADRACE_GRID_CONSTANT

namespace headrace::kernels::device {

inline std::uint32_t shared_address(const void* shared) {
  return emulated_async::running().address_of(shared);
}

inline void init_barrier(barrier_word* at, unsigned arrivals) {
  emulated_async::running().init_barrier(at, arrivals);
}
inline void fence_async() { emulated_async::running().fence_async(); }
inline void fence_barriers() { emulated_async::running().fence_barriers(); }
inline void arrive(barrier_word* at) { emulated_async::running().arrive(at, 0); }
inline void arrive_expecting(barrier_word* at, unsigned bytes) {
  emulated_async::running().arrive(at, bytes);
}
inline void wait_phase(barrier_word* at, unsigned parity) {
  emulated_async::running().wait_phase(at, parity);
}

inline void prefetch_map(const tensor_map&) {}
inline void load_tile(
    void* to, const tensor_map& map, int column, int line, int slice, barrier_word* barrier) {
  tensor_tiles tiles;
  std::memcpy(&tiles, map.bytes, sizeof(tiles));
  emulated_async::running().load_tile(to, tiles, column, line, slice, barrier);
}

template <int steps>
void hold_operands(std::uint32_t (&)[steps][4]) {}
template <int values>
void begin_products(float (&)[values]) {
  emulated_async::running().begin_products();
}
inline void commit_products() { emulated_async::running().commit_products(); }
template <int open, int values>
void wait_products(float (&)[values]) {
  emulated_async::running().wait_products(open);
}
template <class Element, operand_major left_major, operand_major right_major, int values>
void multiply_tiles(float (&c)[values], std::uint64_t left, std::uint64_t right, bool adds) {
  emulated_async::running().multiply({.columns = 2 * values,
                                      .is_half = std::is_same_v<Element, half>,
                                      .in_registers = false,
                                      .left_major = left_major,
                                      .right_major = right_major,
                                      .left = left,
                                      .right = right,
                                      .adds = adds},
                                     nullptr,
                                     c);
}
template <class Element, operand_major right_major, int values>
void multiply_registers(float (&c)[values],
                        const std::uint32_t (&left)[4],
                        std::uint64_t right,
                        bool adds) {
  emulated_async::running().multiply({.columns = 2 * values,
                                      .is_half = std::is_same_v<Element, half>,
                                      .in_registers = true,
                                      .left_major = operand_major::k,
                                      .right_major = right_major,
                                      .left = 0,
                                      .right = right,
                                      .adds = adds},
                                     left,
                                     c);
}

inline void sync_named(unsigned id, unsigned threads) {
  emulated_async::running().meet_named(id, threads, true);
}
inline void arrive_named(unsigned id, unsigned threads) {
  emulated_async::running().meet_named(id, threads, false);
}

template <int count>
void registers_down() {
  static_assert(count >= 24 && count <= 256 && count % 8 == 0);
}
template <int count>
void registers_up() {
  static_assert(count >= 24 && count <= 256 && count % 8 == 0);
}

/// Another lane each time, the same for the warp.
inline bool elect_one() {
  return exchange(emulated_async::running().draw_below(warp_threads))[0] == lane();
}

}  // namespace headrace::kernels::device
