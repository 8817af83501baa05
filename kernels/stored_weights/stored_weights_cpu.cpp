#include "base/check.hpp"
#include "kernels/runtime/half.hpp"
#include "kernels/runtime/prefetch.hpp"
#include "kernels/stored_weights/narrow_scattered.hpp"
#include "kernels/stored_weights/stored_weights.hpp"

#include <algorithm>
#include <array>
#include <cstring>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/stored_weights/stored_weights_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/quantize_rows/row_scales-inl.hpp"
#include "kernels/runtime/columns-inl.hpp"
#include "kernels/runtime/halves-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

void widen_codes(const std::byte* row, std::size_t dim, float* to) {
  std::uint16_t bits = 0;
  std::memcpy(&bits, row, sizeof(bits));
  const float scale = half_to_float(bits);
  const auto* codes = reinterpret_cast<const std::int8_t*>(row + 4);
  for_columns(0, dim, [=](auto d, std::size_t c) HWY_ATTR {
    const hn::Rebind<std::int8_t, decltype(d)> di8;
    const hn::Rebind<std::int32_t, decltype(d)> di32;
    const auto code = hn::ConvertTo(d, hn::PromoteTo(di32, hn::LoadU(di8, codes + c)));
    hn::StoreU(hn::Mul(code, hn::Set(d, scale)), d, to + c);
  });
}

template <value_format Format>
HWY_INLINE void widen_row(const std::byte* row, std::size_t dim, float* to) {
  if constexpr (Format == value_format::fp32) {
    std::memcpy(to, row, dim * sizeof(float));
  } else if constexpr (Format == value_format::int8) {
    widen_codes(row, dim, to);
  } else {
    const auto* words = reinterpret_cast<const std::uint16_t*>(row);
    for_columns(0, dim, [=](auto d, std::size_t c) HWY_ATTR {
      const auto bits = load_words(d, words + c);
      if constexpr (Format == value_format::fp16) hn::StoreU(half_values(d, bits), d, to + c);
      if constexpr (Format == value_format::bf16) hn::StoreU(brain_values(d, bits), d, to + c);
    });
  }
}

template <value_format Format>
void widen_rows(const widen_weights_args& args) {
  const std::size_t n = args.rows.size();
  const std::size_t row_bytes = stored_bytes(Format, args.dim);
  for (std::size_t r = 0; r < std::min(n, prefetch_rows_ahead); ++r) {
    prefetch_row(args.rows[r], row_bytes);
  }
  for (std::size_t r = 0; r < n; ++r) {
    if (r + prefetch_rows_ahead < n) prefetch_row(args.rows[r + prefetch_rows_ahead], row_bytes);
    widen_row<Format>(args.rows[r], args.dim, args.values.data() + r * args.dim);
  }
}

void widen_weights_target(const widen_weights_args& args) {
  switch (args.format) {
    case value_format::fp32:
      return widen_rows<value_format::fp32>(args);
    case value_format::int8:
      return widen_rows<value_format::int8>(args);
    case value_format::fp16:
      return widen_rows<value_format::fp16>(args);
    case value_format::bf16:
      return widen_rows<value_format::bf16>(args);
  }
}

/// Rounds to nearest, ties to even.
struct to_nearest {
  explicit to_nearest(std::uint64_t) {}
  /// Lanes >= 0 to whole numbers.
  template <class D>
  HWY_INLINE hn::Vec<hn::Rebind<std::int32_t, D>> whole(D, hn::Vec<D> x, std::size_t) const {
    return hn::NearestInt(x);
  }
  template <class D>
  HWY_INLINE hn::Vec<hn::Rebind<std::int32_t, D>> half(D d, hn::Vec<D> x, std::size_t) const {
    return nearest_halves(d, x);
  }
  template <class D>
  HWY_INLINE hn::Vec<hn::Rebind<std::int32_t, D>> brain(D d, hn::Vec<D> x, std::size_t) const {
    return nearest_brains(d, x);
  }
};

/// Rounds up where the distance from the lower neighbour is above the column's draw.
struct by_draw {
  explicit by_draw(std::uint64_t draw)
      : low(static_cast<std::uint32_t>(draw)), high(static_cast<std::uint32_t>(draw >> 32)) {}

  /// column_draw of the columns from c.
  template <class D>
  HWY_INLINE hn::Vec<hn::Rebind<std::uint32_t, D>> draws(D, std::size_t c) const {
    const hn::Rebind<std::uint32_t, D> du32;
    // From 0, so that the compiler keeps it as a constant.
    const auto offsets = hn::Mul(hn::Iota(du32, 0), hn::Set(du32, 0x9E3779B9U));
    const auto start = low + static_cast<std::uint32_t>(c) * 0x9E3779B9U;
    auto x = hn::Add(hn::Set(du32, start), offsets);
    x = hn::Mul(hn::Xor(x, hn::ShiftRight<16>(x)), hn::Set(du32, 0x7FEB352DU));
    x = hn::Xor(x, hn::Set(du32, high));
    x = hn::Mul(hn::Xor(x, hn::ShiftRight<15>(x)), hn::Set(du32, 0x846CA68BU));
    return hn::Xor(x, hn::ShiftRight<16>(x));
  }
  template <class D>
  HWY_INLINE hn::Vec<hn::Rebind<std::int32_t, D>> whole(D d, hn::Vec<D> x, std::size_t c) const {
    const hn::Rebind<std::int32_t, D> di32;
    const auto below = hn::ConvertTo(di32, x);
    const auto draw = hn::BitCast(di32, hn::ShiftRight<8>(draws(d, c)));
    const auto u = hn::Mul(hn::ConvertTo(d, draw), hn::Set(d, 0x1p-24F));
    const auto up = hn::Lt(u, hn::Sub(x, hn::ConvertTo(d, below)));
    return hn::Sub(below, hn::VecFromMask(di32, hn::RebindMask(di32, up)));  // a mask is -1
  }
  template <class D>
  HWY_INLINE hn::Vec<hn::Rebind<std::int32_t, D>> half(D d, hn::Vec<D> x, std::size_t c) const {
    const hn::Rebind<std::int32_t, D> di32;
    const auto bits = hn::BitCast(di32, x);
    const auto magnitude = hn::And(bits, hn::Set(di32, 0x7FFFFFFF));
    const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(di32, 0x8000));
    const auto draw = hn::And(hn::BitCast(di32, draws(d, c)), hn::Set(di32, 0x1FFF));
    const auto rebiased = hn::Sub(magnitude, hn::Set(di32, half_rebias));
    const auto normal =
        hn::Min(hn::ShiftRight<13>(hn::Add(rebiased, draw)), hn::Set(di32, half_max_bits));
    const auto is_small = hn::Lt(magnitude, hn::Set(di32, (127 - 14) << 23));
    const auto steps = hn::Mul(hn::BitCast(d, magnitude), hn::Set(d, 1.0F / half_min_subnormal));
    const auto small = whole(d, hn::IfThenElseZero(hn::RebindMask(d, is_small), steps), c);
    return hn::Or(hn::IfThenElse(is_small, small, normal), sign);
  }
  template <class D>
  HWY_INLINE hn::Vec<hn::Rebind<std::int32_t, D>> brain(D d, hn::Vec<D> x, std::size_t c) const {
    const hn::Rebind<std::int32_t, D> di32;
    const auto bits = hn::BitCast(di32, x);
    const auto magnitude = hn::And(bits, hn::Set(di32, 0x7FFFFFFF));
    const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(di32, 0x8000));
    const auto draw = hn::And(hn::BitCast(di32, draws(d, c)), hn::Set(di32, 0xFFFF));
    const auto rounded = hn::ShiftRight<16>(hn::Add(magnitude, draw));
    return hn::Or(hn::Min(rounded, hn::Set(di32, brain_max_bits)), sign);
  }

  std::uint32_t low;
  std::uint32_t high;
};

template <value_format Format, class Rounding>
HWY_INLINE void narrow_row(const float* values,
                           std::size_t dim,
                           Rounding rounding,
                           std::uint16_t* words) {
  for_columns(0, dim, [=](auto d, std::size_t c) HWY_ATTR {
    const auto x = hn::LoadU(d, values + c);
    if constexpr (Format == value_format::fp16) store_words(d, rounding.half(d, x, c), words + c);
    if constexpr (Format == value_format::bf16) store_words(d, rounding.brain(d, x, c), words + c);
  });
}

template <class Rounding>
HWY_INLINE void round_codes(
    const float* values, std::size_t dim, float scale, Rounding rounding, std::int8_t* codes) {
  if (scale == 0.0F) {
    std::memset(codes, 0, dim);
    return;
  }
  for_columns(0, dim, [=](auto d, std::size_t c) HWY_ATTR {
    const hn::Rebind<std::int8_t, decltype(d)> di8;
    const hn::Rebind<std::int32_t, decltype(d)> di32;
    const auto steps = hn::Div(hn::LoadU(d, values + c), hn::Set(d, scale));
    const auto magnitude = hn::Min(hn::Abs(steps), hn::Set(d, 127.0F));
    const auto code = rounding.whole(d, magnitude, c);
    const auto negative = hn::RebindMask(di32, hn::Lt(steps, hn::Zero(d)));
    hn::StoreU(hn::DemoteTo(di8, hn::IfThenElse(negative, hn::Neg(code), code)), di8, codes + c);
  });
}

template <class Rounding>
HWY_INLINE Rounding rounding_of(const round_weights_args& args, std::size_t row) {
  return Rounding(args.draws.empty() ? 0 : args.draws[row]);
}

/// Scales of 16 rows are computed side by side.
template <class Rounding>
void round_int8(const round_weights_args& args) {
  const std::size_t dim = args.dim;
  const std::size_t filled = 4 + dim;
  const std::size_t row_bytes = stored_bytes(value_format::int8, dim);
  std::array<float, block_rows> magnitudes{};
  std::array<float, block_rows> scales;
  std::array<std::uint16_t, block_rows> halves;
  for (std::size_t begin = 0; begin < args.rows.size(); begin += block_rows) {
    const std::size_t size = std::min(block_rows, args.rows.size() - begin);
    const float* values = args.values.data() + begin * dim;
    for (std::size_t i = 0; i < size; ++i) magnitudes[i] = row_magnitude(values + i * dim, dim);
    block_scales(magnitudes.data(), halves.data(), scales.data());
    for (std::size_t i = 0; i < size; ++i) {
      std::byte* row = args.rows[begin + i];
      const std::uint32_t head = halves[i];  // and two zero bytes: little-endian
      std::memcpy(row, &head, sizeof(head));
      auto* codes = reinterpret_cast<std::int8_t*>(row + 4);
      round_codes(values + i * dim, dim, scales[i], rounding_of<Rounding>(args, begin + i), codes);
      std::memset(row + filled, 0, row_bytes - filled);
    }
  }
}

template <value_format Format, class Rounding>
void round_words(const round_weights_args& args) {
  for (std::size_t r = 0; r < args.rows.size(); ++r) {
    auto* words = reinterpret_cast<std::uint16_t*>(args.rows[r]);
    narrow_row<Format>(
        args.values.data() + r * args.dim, args.dim, rounding_of<Rounding>(args, r), words);
    if (args.dim % 2 != 0) words[args.dim] = 0;
  }
}

void copy_floats(const round_weights_args& args) {
  for (std::size_t r = 0; r < args.rows.size(); ++r) {
    std::memcpy(args.rows[r], args.values.data() + r * args.dim, args.dim * sizeof(float));
  }
}

template <class Rounding>
void round_with(const round_weights_args& args) {
  switch (args.format) {
    case value_format::fp32:
      return copy_floats(args);
    case value_format::int8:
      return round_int8<Rounding>(args);
    case value_format::fp16:
      return round_words<value_format::fp16, Rounding>(args);
    case value_format::bf16:
      return round_words<value_format::bf16, Rounding>(args);
  }
}

void round_weights_target(const round_weights_args& args) {
  if (args.draws.empty()) return round_with<to_nearest>(args);
  round_with<by_draw>(args);
}

template <value_format Format>
void narrow_rows(std::span<const float* const> rows, std::size_t dim, std::uint16_t* words) {
  for (std::size_t r = 0; r < rows.size(); ++r) {
    narrow_row<Format>(rows[r], dim, to_nearest(0), words + r * dim);
  }
}

void narrow_scattered_target(value_format format,
                             std::span<const float* const> rows,
                             std::size_t dim,
                             std::uint16_t* words) {
  if (format == value_format::fp16) return narrow_rows<value_format::fp16>(rows, dim, words);
  narrow_rows<value_format::bf16>(rows, dim, words);
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(widen_weights_target);
HWY_EXPORT(round_weights_target);
HWY_EXPORT(narrow_scattered_target);

void widen_weights_cpu(const widen_weights_args& args) {
  CHECK(args.values.size() == args.rows.size() * args.dim);
  HWY_DYNAMIC_DISPATCH(widen_weights_target)(args);
}

void round_weights_cpu(const round_weights_args& args) {
  CHECK(args.values.size() == args.rows.size() * args.dim);
  CHECK(args.draws.empty() || args.draws.size() == args.rows.size());
  HWY_DYNAMIC_DISPATCH(round_weights_target)(args);
}

void narrow_scattered_cpu(value_format format,
                          std::span<const float* const> rows,
                          std::size_t dim,
                          std::uint16_t* words) {
  CHECK(format == value_format::fp16 || format == value_format::bf16);
  HWY_DYNAMIC_DISPATCH(narrow_scattered_target)(format, rows, dim, words);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
