#pragma once

#include "kernels/runtime/device.hpp"
#include "kernels/runtime/emulated_block.hpp"
#include "kernels/runtime/half.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

/// device.hpp's words on fibers (emulated_block.hpp). Only device.hpp includes this.

#define HEADRACE_KERNEL inline
#define HEADRACE_KERNEL_OF(threads, blocks) inline
#define HEADRACE_DEVICE inline
#define HEADRACE_BOTH inline
#define HEADRACE_UNROLL
#define HEADRACE_UNROLL_BY(count)

namespace headrace::kernels::device {

inline grid_index block_index() { return emulated_block::running().block_index(); }
inline grid_index grid_blocks() { return emulated_block::running().shape().grid; }
inline unsigned thread_index() { return emulated_block::running().thread_index(); }
inline unsigned block_threads() { return emulated_block::running().shape().threads; }
inline unsigned lane() { return thread_index() % warp_threads; }
inline unsigned warp() { return thread_index() / warp_threads; }

inline void sync_block(unsigned line = __builtin_LINE()) {
  emulated_block::running().wait_for_block(line);
}

/// What every lane of this thread's warp gave in the same call, until the call after the next.
template <class T>
const T* exchange(const T& mine) {
  static_assert(sizeof(T) <= exchange_bytes);
  return static_cast<const T*>(emulated_block::running().exchange(&mine, sizeof(T)));
}

inline void sync_warp() { exchange(0); }

template <class T>
T shuffle(T value, unsigned from) {
  static_assert(sizeof(T) == 4 || sizeof(T) == 8);
  return exchange(value)[from % warp_threads];
}
template <class T>
T shuffle_xor(T value, unsigned mask) {
  return shuffle(value, lane() ^ mask);
}
template <class T>
T shuffle_down(T value, unsigned delta) {
  return shuffle(value, lane() + delta < warp_threads ? lane() + delta : lane());
}
template <class T>
T shuffle_up(T value, unsigned delta) {
  return shuffle(value, lane() >= delta ? lane() - delta : lane());
}
inline unsigned ballot(bool yes) {
  const unsigned* votes = exchange(yes ? 1U : 0U);
  unsigned all = 0;
  for (unsigned i = 0; i < warp_threads; ++i) all |= votes[i] << i;
  return all;
}

inline std::byte* shared_memory() { return emulated_block::running().shared_memory(); }

template <class T>
T atomic_add(T* to, T value) {
  const T before = *to;
  *to = before + value;
  return before;
}

inline void copy_async_16(void* shared, const void* from, bool in_range) {
  emulated_block::running().begin_copy({shared, in_range ? from : nullptr});
}
inline void commit_copies() { emulated_block::running().commit_copies(); }
template <int Open>
void wait_copies() {
  emulated_block::running().wait_copies(Open);
}

/// Element `column` of the row of an 8x8 matrix that begins at `row`.
inline std::uint32_t element_of(const void* row, unsigned column) {
  std::uint16_t bits;
  std::memcpy(&bits, static_cast<const std::byte*>(row) + column * sizeof(bits), sizeof(bits));
  return bits;
}

inline void load_matrices_x4(std::uint32_t (&to)[4], const void* row) {
  const void* const* rows = exchange(row);
  const unsigned column = 2 * (lane() % 4);
  for (unsigned i = 0; i < 4; ++i) {
    const void* mine = rows[8 * i + lane() / 4];
    to[i] = element_of(mine, column) | element_of(mine, column + 1) << 16;
  }
  sync_warp();  // nobody writes to these rows before all have read them: sync.aligned
}

inline void load_matrices_x4_transposed(std::uint32_t (&to)[4], const void* row) {
  const void* const* rows = exchange(row);
  const unsigned above = 2 * (lane() % 4);
  for (unsigned i = 0; i < 4; ++i) {
    const void* const* matrix = rows + 8 * i;
    to[i] = element_of(matrix[above], lane() / 4) | element_of(matrix[above + 1], lane() / 4) << 16;
  }
  sync_warp();
}

inline float to_float(brain value) { return brain_to_float(value.bits); }
inline float to_float(half value) { return half_to_float(value.bits); }

/// One of the two elements of a word.
template <class Element>
float element_in(std::uint32_t word, unsigned which) {
  return to_float(Element{static_cast<std::uint16_t>(word >> 16 * which)});
}

template <class Element>
void multiply_16x8x16(float (&c)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
  struct operands {
    std::uint32_t a[4];
    std::uint32_t b[2];
  };
  const operands* of = exchange(operands{{a[0], a[1], a[2], a[3]}, {b[0], b[1]}});
  const unsigned g = lane() / 4;
  const unsigned t = lane() % 4;
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned lower = i / 2;      // row g, or g + 8
    const unsigned n = 2 * t + i % 2;  // column
    double sum = 0;                    // exact products, summed wider than f32
    for (unsigned k = 0; k < 16; ++k) {
      const unsigned pair = k % 8 / 2;  // which lane of four holds it
      const float left = element_in<Element>(of[4 * g + pair].a[lower + k / 8 * 2], k % 2);
      const float right = element_in<Element>(of[4 * n + pair].b[k / 8], k % 2);
      sum += static_cast<double>(left) * static_cast<double>(right);
    }
    c[i] = static_cast<float>(static_cast<double>(c[i]) + sum);
  }
}

/// Rounded as cvt.rn does: what is too large becomes infinite, NaN stays one.
inline std::uint32_t brain_bits(float value) {
  if (std::isnan(value)) return 0x7FFF;
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16;
}
inline std::uint32_t half_bits(float value) {
  if (std::isnan(value)) return 0x7FFF;
  const std::uint32_t sign = std::signbit(value) ? 0x8000U : 0U;
  return std::fabs(value) >= 65520.0F ? sign | 0x7C00U : half_nearest(value);
}
inline std::uint32_t pack_brains(float low, float high) {
  return brain_bits(low) | brain_bits(high) << 16;
}
inline std::uint32_t pack_halves(float low, float high) {
  return half_bits(low) | half_bits(high) << 16;
}

inline float exp2(float x) { return std::exp2(x); }
/// What ex2.approx.ftz makes of subnormal results: zeros.
inline float exp2_flushed(float x) {
  const float y = std::exp2(x);
  return y < 0x1p-126F ? 0.0F : y;  // NaN stays one
}
inline float larger(float a, float b) { return std::fmax(a, b); }
inline float multiply_add(float a, float b, float c) { return std::fma(a, b, c); }
inline float log2(float x) { return std::log2(x); }
inline float rsqrt(float x) { return 1.0F / std::sqrt(x); }
inline float sqrt(float x) { return std::sqrt(x); }

}  // namespace headrace::kernels::device

#include "kernels/runtime/device_words.hpp"
