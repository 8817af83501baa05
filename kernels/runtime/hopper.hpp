#pragma once

#include "kernels/runtime/device.hpp"
#include "kernels/runtime/stage_ring.hpp"
#include "kernels/runtime/tensor_map.hpp"
#include "kernels/runtime/tile_layout.hpp"

/// The words of sm_90a (H100, H200), beside device.hpp's: a kernel that uses them is compiled for
/// 90a alone, in a file OP_cuda_90a.cu, and run where the device's compute capability is 9.0. The
/// emulator executes them, too (emulated_async.hpp), and is strict about their order.
///
/// Barriers (mbarrier; 8 bytes of shared memory, aligned): a phase ends when `arrivals` threads
/// arrived and all bytes expected in it are there; phases have parity 0, 1, 0 …
///   init_barrier(at, arrivals)      one thread; then fence_barriers() and sync_block()
///   arrive(at)  arrive_expecting(at, bytes)
///   wait_phase(at, parity)          until a phase of that parity has ended
/// Copies (TMA): load_tile(to, map, column, line, slice, barrier): one thread begins to bring a box
///   (tensor_map.hpp) to shared memory at a multiple of 1,024; its bytes arrive at the barrier.
///   prefetch_map(map).
/// Products (wgmma), all 128 threads of a warpgroup, whose first warp's number is a multiple of 4:
///   begin_products(c)               before a group of products; orders registers
///   multiply_tiles<Element, left major, right major>(c, left, right, adds): c [64, n] (n / 2
///   values
///     a thread, tile_layout.hpp) = or += left [64, 16] right [16, n], both descriptors
///   multiply_registers<Element, right major>(c, left words, right, adds): left as mma.sync has it
///   commit_products(); wait_products<open>(c): until at most `open` groups are not done. Neither
///     c nor what was multiplied is touched before.
/// fence_async(): ordinary stores to shared memory of this thread come before what the copy engine
///   and the matrix units do after the barrier that follows.
/// sync_named(id, threads), arrive_named(id, threads): barriers 1 to 15 of some whole warps.
/// registers_down<n>, registers_up<n>: setmaxnreg, a whole warpgroup. elect_one(): one lane of a
/// whole warp, any. warpgroup(): the number of this thread's. align_shared(at): the next multiple
/// of 1,024 in shared memory: ask for 1,024 bytes more.
///
/// HEADRACE_GRID_CONSTANT: of a kernel's parameter that holds tensor maps.
namespace headrace::kernels::device {

constexpr unsigned warpgroup_threads = 128;
using barrier_word = std::uint64_t;

}  // namespace headrace::kernels::device

#if defined(__CUDACC__)
#include "kernels/runtime/hopper_cuda.hpp"
#else
#include "kernels/runtime/hopper_emulated.hpp"
#endif

namespace headrace::kernels::device {

HEADRACE_DEVICE unsigned warpgroup() { return thread_index() / warpgroup_threads; }

HEADRACE_DEVICE std::byte* align_shared(std::byte* at) {
  return at + (group_bytes - shared_address(at) % group_bytes) % group_bytes;
}

}  // namespace headrace::kernels::device
