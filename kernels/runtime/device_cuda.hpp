#pragma once

#include "kernels/runtime/device.hpp"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

/// device.hpp's words as nvcc has them. Only device.hpp includes this.

#define HEADRACE_KERNEL static __global__
#define HEADRACE_KERNEL_OF(threads, blocks) static __global__ __launch_bounds__(threads, blocks)
#define HEADRACE_DEVICE __device__ __forceinline__
#define HEADRACE_BOTH __host__ __device__ __forceinline__
#define HEADRACE_UNROLL _Pragma("unroll")
#define HEADRACE_PRAGMA(text) _Pragma(#text)
#define HEADRACE_UNROLL_BY(count) HEADRACE_PRAGMA(unroll count)

namespace headrace::kernels::device {

HEADRACE_DEVICE grid_index block_index() { return {blockIdx.x, blockIdx.y, blockIdx.z}; }
HEADRACE_DEVICE grid_index grid_blocks() { return {gridDim.x, gridDim.y, gridDim.z}; }
HEADRACE_DEVICE unsigned thread_index() { return threadIdx.x; }
HEADRACE_DEVICE unsigned block_threads() { return blockDim.x; }
HEADRACE_DEVICE unsigned lane() { return threadIdx.x % warp_threads; }
HEADRACE_DEVICE unsigned warp() { return threadIdx.x / warp_threads; }

HEADRACE_DEVICE void sync_block() { __syncthreads(); }
HEADRACE_DEVICE void sync_warp() { __syncwarp(); }

constexpr unsigned whole_warp = 0xFFFFFFFFU;

template <class T>
HEADRACE_DEVICE T shuffle(T value, unsigned from) {
  return __shfl_sync(whole_warp, value, static_cast<int>(from));
}
template <class T>
HEADRACE_DEVICE T shuffle_xor(T value, unsigned mask) {
  return __shfl_xor_sync(whole_warp, value, static_cast<int>(mask));
}
template <class T>
HEADRACE_DEVICE T shuffle_down(T value, unsigned delta) {
  return __shfl_down_sync(whole_warp, value, delta);
}
template <class T>
HEADRACE_DEVICE T shuffle_up(T value, unsigned delta) {
  return __shfl_up_sync(whole_warp, value, delta);
}
HEADRACE_DEVICE unsigned ballot(bool yes) { return __ballot_sync(whole_warp, yes ? 1 : 0); }

HEADRACE_DEVICE std::byte* shared_memory() {
  extern __shared__ __align__(128) std::byte headrace_shared_memory[];
  return headrace_shared_memory;
}

HEADRACE_DEVICE unsigned atomic_add(unsigned* to, unsigned value) { return atomicAdd(to, value); }
HEADRACE_DEVICE unsigned long long atomic_add(unsigned long long* to, unsigned long long value) {
  return atomicAdd(to, value);
}
HEADRACE_DEVICE float atomic_add(float* to, float value) { return atomicAdd(to, value); }

HEADRACE_DEVICE unsigned shared_address(const void* shared) {
  return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

/// Begins to copy 16 bytes, both ends aligned to 16; zeros where not `in_range` (then `from` is not
/// read).
HEADRACE_DEVICE void copy_async_16(void* shared, const void* from, bool in_range) {
  const int bytes = in_range ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;\n" ::"r"(shared_address(shared)),
               "l"(from),
               "r"(bytes)
               : "memory");
}
/// What was begun since the last commit is one group.
HEADRACE_DEVICE void commit_copies() { asm volatile("cp.async.commit_group;\n" ::: "memory"); }
/// Until at most `Open` groups of this thread are still on their way. Others' need sync_block too.
template <int Open>
HEADRACE_DEVICE void wait_copies() {
  asm volatile("cp.async.wait_group %0;\n" ::"n"(Open) : "memory");
}

/// Four 8x8 matrices of 16-bit elements: lane 8 i + r gives row r of matrix i (16 bytes, aligned);
/// lane l gets of each matrix elements 2 (l % 4) and the next of row l / 4.
HEADRACE_DEVICE void load_matrices_x4(std::uint32_t (&to)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
}
/// The same of the transposed matrices: lane l gets elements (2 (l % 4), l / 4) and the row below.
HEADRACE_DEVICE void load_matrices_x4_transposed(std::uint32_t (&to)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];\n"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(shared_address(row))
               : "memory");
}

/// c [16, 8] += a [16, 16] b [16, 8] over the lanes of a warp, as mma.m16n8k16 lays them out:
/// with g = lane / 4, t = lane % 4, c holds (g, 2t), (g, 2t+1), (g+8, 2t), (g+8, 2t+1); a the pairs
/// at (g, 2t), (g+8, 2t), (g, 2t+8), (g+8, 2t+8); b the pairs (2t.., g), (2t+8.., g).
template <class Element>
HEADRACE_DEVICE void multiply_16x8x16(float (&c)[4],
                                      const std::uint32_t (&a)[4],
                                      const std::uint32_t (&b)[2]);
template <>
HEADRACE_DEVICE void multiply_16x8x16<brain>(float (&c)[4],
                                             const std::uint32_t (&a)[4],
                                             const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
template <>
HEADRACE_DEVICE void multiply_16x8x16<half>(float (&c)[4],
                                            const std::uint32_t (&a)[4],
                                            const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
      "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};\n"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// Two floats as bfloat16 (fp16), nearest, ties to even, `low` in the low half of the word.
HEADRACE_DEVICE std::uint32_t pack_brains(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}
HEADRACE_DEVICE std::uint32_t pack_halves(float low, float high) {
  const __half2 pair = __floats2half2_rn(low, high);
  return *reinterpret_cast<const std::uint32_t*>(&pair);
}
HEADRACE_DEVICE float to_float(brain value) {
  return __uint_as_float(static_cast<unsigned>(value.bits) << 16);
}
HEADRACE_DEVICE float to_float(half value) { return __half2float(__ushort_as_half(value.bits)); }

HEADRACE_DEVICE float exp2(float x) { return ::exp2f(x); }
HEADRACE_DEVICE float exp2_flushed(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
HEADRACE_DEVICE float larger(float a, float b) { return ::fmaxf(a, b); }
HEADRACE_DEVICE float multiply_add(float a, float b, float c) { return __fmaf_rn(a, b, c); }
HEADRACE_DEVICE float log2(float x) { return ::log2f(x); }
HEADRACE_DEVICE float rsqrt(float x) { return ::rsqrtf(x); }
HEADRACE_DEVICE float sqrt(float x) { return __fsqrt_rn(x); }

}  // namespace headrace::kernels::device

#include "kernels/runtime/device_words.hpp"
