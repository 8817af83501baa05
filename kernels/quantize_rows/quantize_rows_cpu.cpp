#include "base/check.hpp"
#include "kernels/quantize_rows/quantize_rows.hpp"
#include "kernels/quantize_rows/quantize_scattered.hpp"
#include "kernels/runtime/half.hpp"

#include <algorithm>
#include <array>
#include <cmath>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quantize_rows/quantize_rows_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/quantize_rows/row_scales-inl.hpp"
#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// What to multiply the values of a block by: 1 / scale, or 0 for scale 0.
HWY_INLINE void invert_scales(float* scales) {
  const hn::CappedTag<float, lanes_max> d;
  for (std::size_t i = 0; i < block_rows; i += hn::Lanes(d)) {
    const auto scale = hn::LoadU(d, scales + i);
    const auto factor = hn::Div(hn::Set(d, 1.0F), scale);
    hn::StoreU(hn::IfThenElseZero(hn::Gt(scale, hn::Zero(d)), factor), d, scales + i);
  }
}

HWY_INLINE void quantize_row(const float* row, std::size_t dim, float factor, std::int8_t* codes) {
  for_columns(0, dim, [=](auto d, std::size_t c) HWY_ATTR {
    const hn::Rebind<std::int8_t, decltype(d)> di8;
    const auto limit = hn::Set(d, 127.0F);
    const auto steps = hn::Mul(hn::LoadU(d, row + c), hn::Set(d, factor));
    const auto code = hn::NearestInt(hn::Clamp(steps, hn::Neg(limit), limit));
    hn::StoreU(hn::DemoteTo(di8, code), di8, codes + c);
  });
}

/// Up to block_rows rows, row(r) each.
template <class Row>
HWY_INLINE void quantize_block(
    const Row& row, std::size_t n, std::size_t dim, std::int8_t* codes, std::uint16_t* scales) {
  std::array<float, block_rows> magnitudes{};
  std::array<float, block_rows> factors;
  std::array<std::uint16_t, block_rows> block;
  for (std::size_t r = 0; r < n; ++r) magnitudes[r] = row_magnitude(row(r), dim);
  block_scales(magnitudes.data(), block.data(), factors.data());
  invert_scales(factors.data());
  std::copy_n(block.data(), n, scales);
  for (std::size_t r = 0; r < n; ++r) quantize_row(row(r), dim, factors[r], codes + r * dim);
}

void quantize_rows_target(const quantize_rows_args& args) {
  const std::size_t dim = args.dim;
  for (std::size_t r = 0; r < args.scales.size(); r += block_rows) {
    const float* first = args.values.data() + r * dim;
    quantize_block([=](std::size_t i) { return first + i * dim; },
                   std::min(block_rows, args.scales.size() - r),
                   dim,
                   args.codes.data() + r * dim,
                   args.scales.data() + r);
  }
}

void quantize_scattered_target(std::span<const float* const> rows,
                               std::size_t dim,
                               std::int8_t* codes,
                               std::uint16_t* scales) {
  for (std::size_t r = 0; r < rows.size(); r += block_rows) {
    const float* const* first = rows.data() + r;
    quantize_block([=](std::size_t i) { return first[i]; },
                   std::min(block_rows, rows.size() - r),
                   dim,
                   codes + r * dim,
                   scales + r);
  }
}

void dequantize_rows_target(const dequantize_rows_args& args) {
  for (std::size_t r = 0; r < args.scales.size(); ++r) {
    const float scale = half_to_float(args.scales[r]);
    const std::int8_t* codes = args.codes.data() + r * args.dim;
    float* values = args.values.data() + r * args.dim;
    for_columns(0, args.dim, [=](auto d, std::size_t c) HWY_ATTR {
      const hn::Rebind<std::int8_t, decltype(d)> di8;
      const hn::Rebind<std::int32_t, decltype(d)> di32;
      const auto code = hn::ConvertTo(d, hn::PromoteTo(di32, hn::LoadU(di8, codes + c)));
      hn::StoreU(hn::Mul(code, hn::Set(d, scale)), d, values + c);
    });
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(quantize_rows_target);
HWY_EXPORT(quantize_scattered_target);
HWY_EXPORT(dequantize_rows_target);

void quantize_rows_cpu(const quantize_rows_args& args) {
  CHECK(args.values.size() == args.scales.size() * args.dim);
  CHECK(args.codes.size() == args.values.size());
  HWY_DYNAMIC_DISPATCH(quantize_rows_target)(args);
}

void quantize_scattered_cpu(std::span<const float* const> rows,
                            std::size_t dim,
                            std::int8_t* codes,
                            std::uint16_t* scales) {
  HWY_DYNAMIC_DISPATCH(quantize_scattered_target)(rows, dim, codes, scales);
}

void dequantize_rows_cpu(const dequantize_rows_args& args) {
  CHECK(args.values.size() == args.scales.size() * args.dim);
  CHECK(args.codes.size() == args.values.size());
  HWY_DYNAMIC_DISPATCH(dequantize_rows_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
