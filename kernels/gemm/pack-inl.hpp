// Packs parts of A and B into the panels that tiles read. Included once for each target by
// gemm_cpu.cpp, after tile-inl.hpp (no `#pragma once`: Highway's toggle is the guard).
#if defined(HEADRACE_KERNELS_GEMM_PACK_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_KERNELS_GEMM_PACK_INL_HPP
#undef HEADRACE_KERNELS_GEMM_PACK_INL_HPP
#else
#define HEADRACE_KERNELS_GEMM_PACK_INL_HPP
#endif

#include "kernels/gemm/tile-inl.hpp"

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// A panel of `width` columns of a [k, columns] matrix, row by row: packed[p * width + j]. Columns
/// past the matrix are zero.
template <std::size_t width>
HWY_INLINE void pack_columns(
    const float* from, std::size_t stride, std::size_t columns, std::size_t k, float* packed) {
  for (std::size_t p = 0; p < k; ++p, from += stride, packed += width) {
    for (std::size_t j = 0; j < columns; ++j) packed[j] = from[j];
    for (std::size_t j = columns; j < width; ++j) packed[j] = 0.0F;
  }
}

/// The same of whole panels, in vectors: 6 columns as 4 and 2.
template <std::size_t width>
HWY_INLINE void pack_whole(const float* from, std::size_t stride, std::size_t k, float* packed) {
  const hn::CappedTag<float, width % lanes == 0 ? lanes : 4> d;
  const hn::CappedTag<float, 2> rest;
  constexpr std::size_t step = hn::MaxLanes(d);
  constexpr std::size_t steps = width / step;
  constexpr std::size_t rest_step = hn::MaxLanes(rest);
  for (std::size_t p = 0; p < k; ++p, from += stride, packed += width) {
    unrolled<steps>(
        [&](auto v) HWY_ATTR { hn::StoreU(hn::LoadU(d, from + v * step), d, packed + v * step); });
    unrolled<(width - steps * step) / rest_step>([&](auto v) HWY_ATTR {
      constexpr std::size_t at = steps * step + v * rest_step;
      hn::StoreU(hn::LoadU(rest, from + at), rest, packed + at);
    });
  }
}

#if HWY_TARGET != HWY_SCALAR

/// from[0 … 3] and, in vectors of 8, from[4 * stride …]: each 4 values of two columns.
template <class D>
HWY_INLINE hn::Vec<D> load_quads(D d, const float* from, std::size_t stride) {
  if constexpr (hn::MaxLanes(D()) == 8) {
    const hn::Half<D> half;
    return hn::Combine(d, hn::LoadU(half, from + 4 * stride), hn::LoadU(half, from));
  } else {
    return hn::LoadU(d, from);
  }
}

/// to[p * width + j] = from[j * stride + p] for 4 p by as many j as D has lanes.
template <class D>
HWY_INLINE void transpose_block(
    D d, const float* from, std::size_t stride, float* to, std::size_t width) {
  const hn::Repartition<double, D> pairs;
  const auto c0 = load_quads(d, from, stride);
  const auto c1 = load_quads(d, from + stride, stride);
  const auto c2 = load_quads(d, from + 2 * stride, stride);
  const auto c3 = load_quads(d, from + 3 * stride, stride);
  const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, c0, c1));
  const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, c2, c3));
  const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, c0, c1));
  const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, c2, c3));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23)), d, to);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23)), d, to + width);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23)), d, to + 2 * width);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23)), d, to + 3 * width);
}

/// As many columns of pack_transposed as D has lanes.
template <std::size_t width, class D>
HWY_INLINE void transpose_columns(
    D d, const float* from, std::size_t stride, std::size_t k, float* packed) {
  constexpr std::size_t n = hn::MaxLanes(D());
  std::size_t p = 0;
  for (; p + 4 <= k; p += 4) transpose_block(d, from + p, stride, packed + p * width, width);
  for (; p < k; ++p) {
    for (std::size_t j = 0; j < n; ++j) packed[p * width + j] = from[j * stride + p];
  }
}

/// The columns of pack_transposed that come in eights and fours; returns how many.
template <std::size_t width>
HWY_INLINE std::size_t transpose_in_vectors(
    const float* from, std::size_t stride, std::size_t columns, std::size_t k, float* packed) {
  const hn::CappedTag<float, 8> wide;
  const hn::CappedTag<float, 4> narrow;
  constexpr std::size_t step = hn::MaxLanes(wide);
  std::size_t j = 0;
  for (; j + step <= columns; j += step) {
    transpose_columns<width>(wide, from + j * stride, stride, k, packed + j);
  }
  for (; j + 4 <= columns; j += 4) {
    transpose_columns<width>(narrow, from + j * stride, stride, k, packed + j);
  }
  return j;
}

#else

template <std::size_t width>
HWY_INLINE std::size_t transpose_in_vectors(
    const float*, std::size_t, std::size_t, std::size_t, float*) {
  return 0;
}

#endif

/// As pack_columns, of a matrix stored as [columns, k].
template <std::size_t width>
HWY_INLINE void pack_transposed(
    const float* from, std::size_t stride, std::size_t columns, std::size_t k, float* packed) {
  const std::size_t done = transpose_in_vectors<width>(from, stride, columns, k, packed);
  for (std::size_t p = 0; p < k; ++p) {
    for (std::size_t j = done; j < columns; ++j) packed[p * width + j] = from[j * stride + p];
    for (std::size_t j = columns; j < width; ++j) packed[p * width + j] = 0.0F;
  }
}

/// One panel of [k, columns <= width], stored so or transposed.
template <std::size_t width>
HWY_INLINE void pack_panel(const float* from,
                           std::size_t stride,
                           bool transposed,
                           std::size_t columns,
                           std::size_t k,
                           float* packed) {
  if (transposed) return pack_transposed<width>(from, stride, columns, k, packed);
  if (columns == width) return pack_whole<width>(from, stride, k, packed);
  pack_columns<width>(from, stride, columns, k, packed);
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
