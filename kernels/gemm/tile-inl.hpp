// The innermost product of gemm: one tile of C in registers. Included once for each target by
// gemm_cpu.cpp (no `#pragma once`: Highway's toggle is the guard).
#if defined(HEADRACE_KERNELS_GEMM_TILE_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_KERNELS_GEMM_TILE_INL_HPP
#undef HEADRACE_KERNELS_GEMM_TILE_INL_HPP
#else
#define HEADRACE_KERNELS_GEMM_TILE_INL_HPP
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using float_tag = hn::CappedTag<float, 16>;
using float_vector = hn::Vec<float_tag>;
constexpr std::size_t lanes = hn::MaxLanes(float_tag());

/// A tile of C keeps tile_rows * tile_vectors sums in registers, and needs some for A and B: 12 of
/// 16 registers where there are 16, 24 of 32 where there are 32 (AVX-512, AArch64).
#if HWY_ARCH_ARM_A64
constexpr std::size_t tile_rows = 6;
constexpr std::size_t tile_vectors = 4;
#else
constexpr std::size_t tile_rows = lanes == 16 ? 12 : 6;
constexpr std::size_t tile_vectors = 2;
#endif
constexpr std::size_t tile_columns = tile_vectors * lanes;

/// Where op(A)[i, p] of a tile lies: at data[i * row + p * step].
struct left_panel {
  const float* data;
  std::size_t row;
  std::size_t step;
};
/// Where the tile_columns values of op(B)[p, ...] lie: from data[p * step] on.
struct right_panel {
  const float* data;
  std::size_t step;
};
struct target_tile {
  float* data;
  std::size_t stride;
  bool accumulate;
};

/// Calls step(i) with i = 0 … n - 1 as constants, so that sums stay in registers.
template <std::size_t n, class Step>
HWY_INLINE void unrolled(const Step& step) {
  [&step]<std::size_t... i>(std::index_sequence<i...>) HWY_ATTR {
    (step(std::integral_constant<std::size_t, i>()), ...);
  }
  (std::make_index_sequence<n>());
}

/// C[rows, tile_columns] = or += A B over k >= 1.
template <std::size_t rows>
HWY_NOINLINE void multiply_tile(std::size_t k, left_panel a, right_panel b, target_tile c) {
  const float_tag d;
  std::array<std::array<float_vector, tile_vectors>, rows> sums;
  unrolled<rows * tile_vectors>(
      [&](auto at) HWY_ATTR { sums[at / tile_vectors][at % tile_vectors] = hn::Zero(d); });
  unrolled<rows>([&](auto i) HWY_ATTR {  // in L1 by the time the sums are ready
    __builtin_prefetch(c.data + i * c.stride);
    __builtin_prefetch(c.data + i * c.stride + tile_columns - 1);
  });
  do {
    std::array<float_vector, tile_vectors> right;
    unrolled<tile_vectors>([&](auto v) HWY_ATTR { right[v] = hn::LoadU(d, b.data + v * lanes); });
    unrolled<rows>([&](auto i) HWY_ATTR {
      const float_vector left = hn::Set(d, a.data[i * a.row]);
      unrolled<tile_vectors>([&](auto v)
                                 HWY_ATTR { sums[i][v] = hn::MulAdd(left, right[v], sums[i][v]); });
    });
    a.data += a.step;
    b.data += b.step;
  } while (--k != 0);
  if (c.accumulate) {
    unrolled<rows * tile_vectors>([&](auto at) HWY_ATTR {
      const float* from = c.data + at / tile_vectors * c.stride + at % tile_vectors * lanes;
      float_vector& sum = sums[at / tile_vectors][at % tile_vectors];
      sum = hn::Add(hn::LoadU(d, from), sum);
    });
  }
  unrolled<rows * tile_vectors>([&](auto at) HWY_ATTR {
    float* to = c.data + at / tile_vectors * c.stride + at % tile_vectors * lanes;
    hn::StoreU(sums[at / tile_vectors][at % tile_vectors], d, to);
  });
}

using tile_function = void (*)(std::size_t, left_panel, right_panel, target_tile);

template <std::size_t... i>
constexpr std::array<tile_function, sizeof...(i)> tile_functions(std::index_sequence<i...>) {
  return {multiply_tile<i + 1>...};
}

/// The tile of `rows` (1 … tile_rows) by `columns` (1 … tile_columns). B's panel is full width in
/// any case; of a narrower C only its columns are touched.
HWY_INLINE void multiply_edge(std::size_t rows,
                              std::size_t columns,
                              std::size_t k,
                              left_panel a,
                              right_panel b,
                              target_tile c) {
  constexpr auto functions = tile_functions(std::make_index_sequence<tile_rows>());
  if (columns == tile_columns) return functions[rows - 1](k, a, b, c);
  std::array<float, tile_rows * tile_columns> whole;
  functions[rows - 1](k, a, b, {.data = whole.data(), .stride = tile_columns, .accumulate = false});
  for (std::size_t i = 0; i < rows; ++i) {
    const float* from = whole.data() + i * tile_columns;
    float* to = c.data + i * c.stride;
    for (std::size_t j = 0; j < columns; ++j) to[j] = c.accumulate ? to[j] + from[j] : from[j];
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
