// Scales of rows of int8 codes, see quantize_rows.hpp. Included once for each target by *_cpu.cpp
// files (no `#pragma once`: Highway's toggle is the guard).
#if defined(HEADRACE_KERNELS_QUANTIZE_ROWS_ROW_SCALES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_KERNELS_QUANTIZE_ROWS_ROW_SCALES_INL_HPP
#undef HEADRACE_KERNELS_QUANTIZE_ROWS_ROW_SCALES_INL_HPP
#else
#define HEADRACE_KERNELS_QUANTIZE_ROWS_ROW_SCALES_INL_HPP
#endif

#include "kernels/runtime/columns-inl.hpp"
#include "kernels/runtime/halves-inl.hpp"

#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// Rows whose scales are computed side by side, a lane each.
constexpr std::size_t block_rows = 16;

/// max|row|: exact, so the order of the lanes does not show.
HWY_INLINE float row_magnitude(const float* row, std::size_t dim) {
  const hn::CappedTag<float, lanes_max> wide;
  const hn::CappedTag<float, 4> narrow;
  auto largest = hn::Zero(wide);
  auto rest = hn::Zero(narrow);
  std::size_t c = 0;
  for (; c + hn::Lanes(wide) <= dim; c += hn::Lanes(wide)) {
    largest = hn::Max(largest, hn::Abs(hn::LoadU(wide, row + c)));
  }
  for (; c + hn::Lanes(narrow) <= dim; c += hn::Lanes(narrow)) {
    rest = hn::Max(rest, hn::Abs(hn::LoadU(narrow, row + c)));
  }
  float magnitude = std::max(hn::GetLane(hn::MaxOfLanes(wide, largest)),
                             hn::GetLane(hn::MaxOfLanes(narrow, rest)));
  for (; c < dim; ++c) magnitude = std::max(magnitude, std::abs(row[c]));
  return magnitude;
}

/// row_scale (row_scale.hpp) of a magnitude in each lane.
template <class D>
HWY_INLINE hn::Vec<hn::Rebind<std::int32_t, D>> row_scales(D d, hn::Vec<D> magnitude) {
  const hn::Rebind<std::int32_t, D> di32;
  const auto largest = hn::Set(di32, static_cast<std::int32_t>(half_max_bits));
  const auto quotient = hn::Div(magnitude, hn::Set(d, 127.0F));
  const auto rounding = hn::Set(di32, 0x1FFF - half_rebias);
  const auto normal = hn::ShiftRight<13>(hn::Add(hn::BitCast(di32, quotient), rounding));
  const auto steps = hn::Mul(quotient, hn::Set(d, 1.0F / half_min_subnormal));
  const auto subnormal = hn::ConvertTo(di32, hn::Ceil(steps));
  const auto is_small = hn::RebindMask(di32, hn::Lt(quotient, hn::Set(d, half_min_normal)));
  const auto bits = hn::Min(hn::IfThenElse(is_small, subnormal, normal), largest);
  const auto has_codes = hn::Gt(magnitude, hn::Set(d, half_min_subnormal / 2));
  return hn::IfThenElseZero(hn::RebindMask(di32, has_codes), bits);
}

/// row_scale of block_rows magnitudes, as halves and as floats.
HWY_INLINE void block_scales(const float* magnitudes, std::uint16_t* halves, float* scales) {
  const hn::CappedTag<float, lanes_max> d;
  for (std::size_t i = 0; i < block_rows; i += hn::Lanes(d)) {
    const auto bits = row_scales(d, hn::LoadU(d, magnitudes + i));
    store_words(d, bits, halves + i);
    hn::StoreU(half_values(d, bits), d, scales + i);
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
