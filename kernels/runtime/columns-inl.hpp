// Walks the columns of a row in vectors of the target. Included once for each target by the
// *_cpu.cpp files (no `#pragma once`: Highway's toggle is the guard).
#if defined(HEADRACE_KERNELS_RUNTIME_COLUMNS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_KERNELS_RUNTIME_COLUMNS_INL_HPP
#undef HEADRACE_KERNELS_RUNTIME_COLUMNS_INL_HPP
#else
#define HEADRACE_KERNELS_RUNTIME_COLUMNS_INL_HPP
#endif

#include <hwy/highway.h>

#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// Most lanes a step sees.
constexpr std::size_t lanes_max = 16;

/// Calls step(tag, column) for [begin, end): vectors of up to 16 floats, then of 4, then single
/// columns, never past the end. A step that treats lanes independently gives the same bits on every
/// target.
template <class Step>
HWY_INLINE void for_columns(std::size_t begin, std::size_t end, const Step& step) {
  std::size_t column = begin;
  const hn::CappedTag<float, lanes_max> wide;
  for (; column + hn::Lanes(wide) <= end; column += hn::Lanes(wide)) step(wide, column);
  const hn::CappedTag<float, 4> narrow;
  for (; column + hn::Lanes(narrow) <= end; column += hn::Lanes(narrow)) step(narrow, column);
  const hn::CappedTag<float, 1> single;
  for (; column < end; ++column) step(single, column);
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
