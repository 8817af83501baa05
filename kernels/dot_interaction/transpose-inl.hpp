// Turns the fields of a sample so that a vector holds one column of several fields. Included once
// for each target by the *_cpu.cpp files (no `#pragma once`: Highway's toggle is the guard).
#if defined(HEADRACE_KERNELS_DOT_INTERACTION_TRANSPOSE_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_KERNELS_DOT_INTERACTION_TRANSPOSE_INL_HPP
#undef HEADRACE_KERNELS_DOT_INTERACTION_TRANSPOSE_INL_HPP
#else
#define HEADRACE_KERNELS_DOT_INTERACTION_TRANSPOSE_INL_HPP
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// to[c, r] = from[r, c] for a block of rows by columns, one value at a time.
HWY_INLINE void transpose_plain(const float* from,
                                std::size_t stride,
                                std::size_t rows,
                                std::size_t columns,
                                std::size_t to_stride,
                                float* to) {
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < columns; ++c) to[c * to_stride + r] = from[r * stride + c];
  }
}

#if HWY_TARGET != HWY_SCALAR
/// The same for 4 rows by 4 columns.
HWY_INLINE void transpose_four(const float* from,
                               std::size_t stride,
                               std::size_t to_stride,
                               float* to) {
  const hn::Full128<float> d;
  const hn::Full128<std::uint64_t> pairs;  // of floats
  const auto row0 = hn::LoadU(d, from);
  const auto row1 = hn::LoadU(d, from + stride);
  const auto row2 = hn::LoadU(d, from + 2 * stride);
  const auto row3 = hn::LoadU(d, from + 3 * stride);
  const auto low01 = hn::BitCast(pairs, hn::InterleaveLower(d, row0, row1));
  const auto low23 = hn::BitCast(pairs, hn::InterleaveLower(d, row2, row3));
  const auto high01 = hn::BitCast(pairs, hn::InterleaveUpper(d, row0, row1));
  const auto high23 = hn::BitCast(pairs, hn::InterleaveUpper(d, row2, row3));
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, low01, low23)), d, to);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, low01, low23)), d, to + to_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, high01, high23)), d, to + 2 * to_stride);
  hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, high01, high23)), d, to + 3 * to_stride);
}
#endif

/// to [dim, to_stride] = from [n, dim] (rows `stride` apart) transposed. The last blocks of four
/// begin early rather than end late: some values are written twice.
HWY_INLINE void transpose(const float* from,
                          std::size_t stride,
                          std::size_t n,
                          std::size_t dim,
                          std::size_t to_stride,
                          float* to) {
#if HWY_TARGET != HWY_SCALAR
  if (n >= 4 && dim >= 4) {
    for (std::size_t r = 0; r < n; r += 4) {
      const std::size_t row = std::min(r, n - 4);
      const float* block = from + row * stride;
      float* turned = to + row;
      for (std::size_t c = 4; c < dim; c += 4, block += 4, turned += 4 * to_stride) {
        transpose_four(block, stride, to_stride, turned);
      }
      transpose_four(
          from + row * stride + (dim - 4), stride, to_stride, to + (dim - 4) * to_stride + row);
    }
    return;
  }
#endif
  transpose_plain(from, stride, n, dim, to_stride, to);
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
