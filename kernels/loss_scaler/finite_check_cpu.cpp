#include "kernels/loss_scaler/finite_check.hpp"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/loss_scaler/finite_check_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

constexpr std::int32_t infinity_bits = 0x7F800000;

/// The bits of |value|: as integers they are in the order of the sizes, infinity and NaN last.
template <class D>
HWY_INLINE hn::Vec<hn::RebindToSigned<D>> size_bits(D d, const float* values) {
  const hn::RebindToSigned<D> bits;
  return hn::And(hn::BitCast(bits, hn::LoadU(d, values)), hn::Set(bits, 0x7FFFFFFF));
}

std::int32_t largest_bits(const float* values, std::size_t n) {
  const hn::CappedTag<float, lanes_max> d;
  const hn::RebindToSigned<decltype(d)> bits;
  const std::size_t lanes = hn::Lanes(d);
  auto a = hn::Zero(bits);
  auto b = a;
  auto c = a;
  auto e = a;
  std::size_t i = 0;
  for (; i + 4 * lanes <= n; i += 4 * lanes) {  // four chains: a maximum takes longer than a load
    a = hn::Max(a, size_bits(d, values + i));
    b = hn::Max(b, size_bits(d, values + i + lanes));
    c = hn::Max(c, size_bits(d, values + i + 2 * lanes));
    e = hn::Max(e, size_bits(d, values + i + 3 * lanes));
  }
  for (; i + lanes <= n; i += lanes) a = hn::Max(a, size_bits(d, values + i));
  const auto all = hn::Max(hn::Max(a, b), hn::Max(c, e));
  std::int32_t largest = hn::GetLane(hn::MaxOfLanes(bits, all));
  for (; i < n; ++i) {
    largest = std::max(largest, std::bit_cast<std::int32_t>(values[i]) & 0x7FFFFFFF);
  }
  return largest;
}

float abs_max_target(const float* values, std::size_t n) {
  return std::bit_cast<float>(largest_bits(values, n));
}

bool all_finite_target(const float* values, std::size_t n) {
  constexpr std::size_t block = 16'384;
  for (std::size_t i = 0; i < n; i += block) {
    if (largest_bits(values + i, std::min(block, n - i)) >= infinity_bits) return false;
  }
  return true;
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(abs_max_target);
HWY_EXPORT(all_finite_target);

float abs_max_cpu(std::span<const float> values) {
  return HWY_DYNAMIC_DISPATCH(abs_max_target)(values.data(), values.size());
}

bool all_finite_cpu(std::span<const float> values) {
  return HWY_DYNAMIC_DISPATCH(all_finite_target)(values.data(), values.size());
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
