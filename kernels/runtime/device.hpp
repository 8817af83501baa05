#pragma once

#include "kernels/runtime/launch_shape.hpp"

#include <cstddef>
#include <cstdint>

/// The words our CUDA kernels are written in. nvcc makes of them what the GPU has; any other
/// compiler makes of them fibers of one thread (emulated_grid.hpp), so that the very text of a
/// kernel runs, block by block, where there is no GPU, and is tested against its reference.
///
///   HEADRACE_KERNEL void sums_kernel(sums_view args) { … }             // a kernel, void, by value
///   HEADRACE_DEVICE float sum_of(const float* row) { … }               // a stage of one
///   HEADRACE_BOTH unsigned tiles_of(unsigned rows) { … }               // index logic, host too
///
/// Words (namespace device): block_index, grid_blocks, thread_index, block_threads, lane, warp;
/// sync_block, sync_warp; shuffle*, ballot, warp_sum, warp_max (all 32 lanes of a warp call them,
/// values of 4 or 8 bytes); shared_memory (dynamic, 128-byte aligned); atomic_add;
/// copy_async_16, commit_copies, wait_copies (cp.async); load_matrices_x4 (ldmatrix);
/// multiply_16x8x16 (mma.sync, f32 accumulators); pack_brains, pack_halves; exp2, log2, rsqrt,
/// sqrt; and for loops where each instruction counts: exp2_flushed (ex2.approx.ftz: one, relative
/// error 2^-22, subnormal results are 0), larger (of two, the other where one is NaN: one) and
/// multiply_add (a b + c rounded once: one).
namespace headrace::kernels::device {

/// 16 bytes that move as one, aligned to them.
struct alignas(16) words_4 {
  std::uint32_t word[4];
};

/// Element formats of matrix units: bfloat16 and IEEE binary16, as bits.
struct brain {
  std::uint16_t bits;
};
struct half {
  std::uint16_t bits;
};

}  // namespace headrace::kernels::device

#if defined(__CUDACC__)
#include "kernels/runtime/device_cuda.hpp"
#else
#include "kernels/runtime/device_emulated.hpp"
#endif
