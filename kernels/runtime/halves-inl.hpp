// 16-bit floats in vectors of the target, by integer arithmetic: the bits of
// kernels/runtime/half.hpp. Included once for each target by the *_cpu.cpp files (no `#pragma
// once`: Highway's toggle is the guard).
#if defined(HEADRACE_KERNELS_RUNTIME_HALVES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_KERNELS_RUNTIME_HALVES_INL_HPP
#undef HEADRACE_KERNELS_RUNTIME_HALVES_INL_HPP
#else
#define HEADRACE_KERNELS_RUNTIME_HALVES_INL_HPP
#endif

#include "kernels/runtime/half.hpp"

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr std::int32_t half_rebias = (127 - 15) << 23;
constexpr float half_min_normal = 0x1p-14F;

/// 16-bit words as 32-bit lanes of `d`, zero-extended.
template <class D, class DI = hn::Rebind<std::int32_t, D>>
HWY_INLINE hn::Vec<DI> load_words(D, const std::uint16_t* from) {
  const DI di32;
  const hn::Rebind<std::uint16_t, D> du16;
  return hn::PromoteTo(di32, hn::LoadU(du16, from));
}

// Machines of AVX2 and better convert halves by themselves: to nearest even, subnormal halves exact
// whatever the float mode, so with the same bits.
#if HWY_TARGET <= HWY_AVX2 && defined(__x86_64__)
#define HEADRACE_NATIVE_HALVES 1
#else
#define HEADRACE_NATIVE_HALVES 0
#endif

/// half_to_float of halves; infinities and NaNs give something that is not finite.
template <class D, class VI>
HWY_INLINE hn::Vec<D> half_values(D d, VI bits) {
  const hn::Rebind<std::int32_t, D> di32;
#if HEADRACE_NATIVE_HALVES
  const hn::Rebind<std::uint16_t, D> du16;
  const hn::Rebind<hwy::float16_t, D> df16;
  (void)di32;
  return hn::PromoteTo(d, hn::BitCast(df16, hn::DemoteTo(du16, bits)));
#else
  const auto magnitude = hn::And(bits, hn::Set(di32, 0x7FFF));
  const auto sign = hn::ShiftLeft<16>(hn::Xor(bits, magnitude));
  const auto shifted = hn::ShiftLeft<13>(magnitude);
  const auto is_finite = hn::Lt(magnitude, hn::Set(di32, 0x7C00));
  const auto infinite = hn::Or(shifted, hn::Set(di32, 0x7F800000));
  const auto top =
      hn::IfThenElse(is_finite, hn::Add(shifted, hn::Set(di32, half_rebias)), infinite);
  const auto subnormal =
      hn::BitCast(di32, hn::Mul(hn::ConvertTo(d, magnitude), hn::Set(d, half_min_subnormal)));
  const auto is_small = hn::Lt(magnitude, hn::Set(di32, 0x0400));
  return hn::BitCast(d, hn::Or(hn::IfThenElse(is_small, subnormal, top), sign));
#endif
}

/// brain_to_float.
template <class D, class VI>
HWY_INLINE hn::Vec<D> brain_values(D d, VI bits) {
  return hn::BitCast(d, hn::ShiftLeft<16>(bits));
}

/// half_nearest.
template <class D, class DI = hn::Rebind<std::int32_t, D>>
HWY_INLINE hn::Vec<DI> nearest_halves(D d, hn::Vec<D> values) {
  const DI di32;
#if HEADRACE_NATIVE_HALVES
  const hn::Rebind<std::uint16_t, D> du16;
  const hn::Rebind<hwy::float16_t, D> df16;
  const auto ends = hn::Set(d, half_max);
  const auto halves = hn::DemoteTo(df16, hn::Max(hn::Min(values, ends), hn::Neg(ends)));
  return hn::PromoteTo(di32, hn::BitCast(du16, halves));
#else
  const auto bits = hn::BitCast(di32, values);
  const auto magnitude = hn::And(bits, hn::Set(di32, 0x7FFFFFFF));
  const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(di32, 0x8000));
  const auto odd = hn::And(hn::ShiftRight<13>(magnitude), hn::Set(di32, 1));
  const auto rounded = hn::Add(magnitude, hn::Add(odd, hn::Set(di32, 0xFFF - half_rebias)));
  const auto normal = hn::Min(hn::ShiftRight<13>(rounded), hn::Set(di32, half_max_bits));
  // Exact but for float subnormals, which are far below half a step in either float mode.
  const auto steps = hn::Mul(hn::BitCast(d, magnitude), hn::Set(d, 1.0F / half_min_subnormal));
  const auto is_small = hn::Lt(magnitude, hn::Set(di32, (127 - 14) << 23));
  const auto small = hn::NearestInt(hn::IfThenElseZero(hn::RebindMask(d, is_small), steps));
  return hn::Or(hn::IfThenElse(is_small, small, normal), sign);
#endif
}

/// brain_nearest.
template <class D, class DI = hn::Rebind<std::int32_t, D>>
HWY_INLINE hn::Vec<DI> nearest_brains(D, hn::Vec<D> values) {
  const DI di32;
  const auto bits = hn::BitCast(di32, values);
  const auto magnitude = hn::And(bits, hn::Set(di32, 0x7FFFFFFF));
  const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(di32, 0x8000));
  const auto odd = hn::And(hn::ShiftRight<16>(magnitude), hn::Set(di32, 1));
  // magnitude + 0x8000 could pass 2^31 for NaNs only.
  const auto rounded = hn::Add(magnitude, hn::Add(odd, hn::Set(di32, 0x7FFF)));
  return hn::Or(hn::Min(hn::ShiftRight<16>(rounded), hn::Set(di32, brain_max_bits)), sign);
}

#undef HEADRACE_NATIVE_HALVES

/// Stores the low 16 bits of each lane.
template <class D, class VI>
HWY_INLINE void store_words(D, VI words, std::uint16_t* to) {
  const hn::Rebind<std::uint16_t, D> du16;
  hn::StoreU(hn::DemoteTo(du16, words), du16, to);
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
