#pragma once

#include "kernels/runtime/hopper.hpp"
#include "kernels/runtime/wgmma_cuda.hpp"

/// hopper.hpp's words as nvcc has them (PTX ISA 8.0 and later). Only hopper.hpp includes this.

#define HEADRACE_GRID_CONSTANT __grid_constant__

namespace headrace::kernels::device {

HEADRACE_DEVICE void init_barrier(barrier_word* at, unsigned arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;\n" ::"r"(shared_address(at)), "r"(arrivals)
               : "memory");
}
HEADRACE_DEVICE void fence_async() {
  asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
}
/// Barriers that this thread began are known to the copy engine and, after sync_block, to all.
HEADRACE_DEVICE void fence_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;\n" ::: "memory");
  fence_async();
}
HEADRACE_DEVICE void arrive(barrier_word* at) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];\n" ::"r"(shared_address(at)) : "memory");
}
HEADRACE_DEVICE void arrive_expecting(barrier_word* at, unsigned bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;\n" ::"r"(shared_address(at)),
               "r"(bytes)
               : "memory");
}
HEADRACE_DEVICE void wait_phase(barrier_word* at, unsigned parity) {
  asm volatile(
      "{\n.reg .pred done;\n"
      "waits:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra goes_on;\n"  // lanes may see the phase end at different tries
      "bra waits;\n"
      "goes_on:\n}\n" ::"r"(shared_address(at)),
      "r"(parity)
      : "memory");
}

HEADRACE_DEVICE void prefetch_map(const tensor_map& map) {
  asm volatile("prefetch.tensormap [%0];\n" ::"l"(&map) : "memory");
}
HEADRACE_DEVICE void load_tile(
    void* to, const tensor_map& map, int column, int line, int slice, barrier_word* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3, %4}], [%5];\n" ::"r"(shared_address(to)),
      "l"(&map),
      "r"(column),
      "r"(line),
      "r"(slice),
      "r"(shared_address(barrier))
      : "memory");
}

/// The compiler moves nothing that touches c across this.
template <int values>
HEADRACE_DEVICE void hold(float (&c)[values]) {
  HEADRACE_UNROLL
  for (int i = 0; i < values; ++i) asm volatile("" : "+f"(c[i])::"memory");
}
/// The same of left operands in registers, which products that were begun still read.
template <int steps>
HEADRACE_DEVICE void hold_operands(std::uint32_t (&a)[steps][4]) {
  HEADRACE_UNROLL
  for (int i = 0; i < steps; ++i) {
    HEADRACE_UNROLL
    for (int w = 0; w < 4; ++w) asm volatile("" : "+r"(a[i][w])::"memory");
  }
}
template <int values>
HEADRACE_DEVICE void begin_products(float (&c)[values]) {
  hold(c);
  asm volatile("wgmma.fence.sync.aligned;\n" ::: "memory");
}
HEADRACE_DEVICE void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;\n" ::: "memory");
}
template <int open, int values>
HEADRACE_DEVICE void wait_products(float (&c)[values]) {
  asm volatile("wgmma.wait_group.sync.aligned %0;\n" ::"n"(open) : "memory");
  hold(c);
}
template <class Element, operand_major left_major, operand_major right_major, int values>
HEADRACE_DEVICE void multiply_tiles(float (&c)[values],
                                    std::uint64_t left,
                                    std::uint64_t right,
                                    bool adds) {
  warpgroup_product<2 * values, Element>::template of_tiles<left_major, right_major>(
      c, left, right, adds);
}
template <class Element, operand_major right_major, int values>
HEADRACE_DEVICE void multiply_registers(float (&c)[values],
                                        const std::uint32_t (&left)[4],
                                        std::uint64_t right,
                                        bool adds) {
  warpgroup_product<2 * values, Element>::template of_registers<right_major>(c, left, right, adds);
}

HEADRACE_DEVICE void sync_named(unsigned id, unsigned threads) {
  asm volatile("bar.sync %0, %1;\n" ::"r"(id), "r"(threads) : "memory");
}
HEADRACE_DEVICE void arrive_named(unsigned id, unsigned threads) {
  asm volatile("bar.arrive %0, %1;\n" ::"r"(id), "r"(threads) : "memory");
}

template <int count>
HEADRACE_DEVICE void registers_down() {
  static_assert(count >= 24 && count <= 256 && count % 8 == 0);
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;\n" ::"n"(count));
}
template <int count>
HEADRACE_DEVICE void registers_up() {
  static_assert(count >= 24 && count <= 256 && count % 8 == 0);
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;\n" ::"n"(count));
}

HEADRACE_DEVICE bool elect_one() {
  unsigned chosen = 0;
  asm volatile(
      "{\n.reg .pred chosen;\n"
      "elect.sync _|chosen, 0xFFFFFFFF;\n"
      "selp.b32 %0, 1, 0, chosen;\n}\n"
      : "=r"(chosen));
  return chosen != 0;
}

}  // namespace headrace::kernels::device
