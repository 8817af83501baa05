#include "base/check.hpp"
#include "kernels/gemm/gemm.hpp"
#include "kernels/half_gemm/half_gemm.hpp"
#include "kernels/half_gemm/half_word.hpp"

#include <algorithm>
#include <cstring>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/half_gemm/half_gemm_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/columns-inl.hpp"
#include "kernels/runtime/halves-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// half_word in the low 16 bits of each lane.
template <half_format format, class D, class DI = hn::Rebind<std::int32_t, D>>
HWY_INLINE hn::Vec<DI> nearest_words(D d, hn::Vec<D> values) {
  const DI di32;
  constexpr bool brain = format == half_format::bf16;
  const auto bits = hn::BitCast(di32, values);
  const auto magnitude = hn::And(bits, hn::Set(di32, 0x7FFFFFFF));
  const auto sign = hn::And(hn::ShiftRight<16>(bits), hn::Set(di32, 0x8000));
  const auto is_nan = hn::Gt(magnitude, hn::Set(di32, float_infinity_bits));
  const auto nan = hn::Or(sign, hn::Set(di32, brain ? brain_nan : half_nan));
  if constexpr (brain) {  // magnitude + 0x8000 passes 2^31 for NaNs only
    const auto odd = hn::And(hn::ShiftRight<16>(magnitude), hn::Set(di32, 1));
    const auto rounded = hn::Add(magnitude, hn::Add(odd, hn::Set(di32, 0x7FFF)));
    return hn::IfThenElse(is_nan, nan, hn::Or(hn::ShiftRight<16>(rounded), sign));
  } else {
    const auto too_large = hn::Gt(magnitude, hn::Set(di32, half_overflow_bits - 1));
    const auto infinite = hn::Or(sign, hn::Set(di32, half_infinity));
    const auto finite = hn::IfThenElse(too_large, infinite, nearest_halves(d, values));
    return hn::IfThenElse(is_nan, nan, finite);
  }
}

template <half_format format, class D, class VI>
HWY_INLINE hn::Vec<D> widened_words(D d, VI words) {
  return format == half_format::bf16 ? brain_values(d, words) : half_values(d, words);
}

template <half_format format>
void round_all(const float* values, std::uint16_t* words, std::size_t n) {
  for_columns(0, n, [=](auto d, std::size_t at) HWY_ATTR {
    store_words(d, nearest_words<format>(d, hn::LoadU(d, values + at)), words + at);
  });
}

template <half_format format>
void widen_all(const std::uint16_t* words, float* values, std::size_t n) {
  for_columns(0, n, [=](auto d, std::size_t at) HWY_ATTR {
    hn::StoreU(widened_words<format>(d, load_words(d, words + at)), d, values + at);
  });
}

/// A lane of two words each, the even row's in the low half.
template <class D, class DI = hn::Rebind<std::int32_t, D>>
HWY_INLINE hn::Vec<DI> load_pairs(D, const std::uint16_t* from) {
  const DI di32;
#if HWY_TARGET == HWY_SCALAR  // has no vector of two words
  std::int32_t pair = 0;
  std::memcpy(&pair, from, sizeof pair);
  return hn::Set(di32, pair);
#else
  return hn::BitCast(di32, hn::LoadU(hn::Repartition<std::uint16_t, DI>(), from));
#endif
}

template <class VI>
HWY_INLINE void store_pairs(VI pairs, std::uint16_t* to) {
#if HWY_TARGET == HWY_SCALAR
  const std::int32_t pair = hn::GetLane(pairs);
  std::memcpy(to, &pair, sizeof pair);
#else
  const hn::Repartition<std::uint16_t, hn::DFromV<VI>> du16;
  hn::StoreU(hn::BitCast(du16, pairs), du16, to);
#endif
}

/// Two rows of up to 64 columns side by side: to[2 j] of `even`, to[2 j + 1] of `odd`, or 0 where
/// that is null.
template <half_format format>
void pack_pair(const float* even, const float* odd, std::size_t columns, std::uint16_t* to) {
  for_columns(0, columns, [=](auto d, std::size_t j) HWY_ATTR {
    auto pair = nearest_words<format>(d, hn::LoadU(d, even + j));
    if (odd != nullptr)
      pair = hn::Or(pair, hn::ShiftLeft<16>(nearest_words<format>(d, hn::LoadU(d, odd + j))));
    store_pairs(pair, to + 2 * j);
  });
  std::fill(to + 2 * columns, to + 2 * packed_block_columns, std::uint16_t{0});
}

/// What pack_pair packed, without the zeros; `odd` may be null.
template <half_format format>
void unpack_pair(const std::uint16_t* from, std::size_t columns, float* even, float* odd) {
  for_columns(0, columns, [=](auto d, std::size_t j) HWY_ATTR {
    const hn::Rebind<std::int32_t, decltype(d)> di32;
    const auto pair = load_pairs(d, from + 2 * j);
    const auto low = hn::And(pair, hn::Set(di32, 0xFFFF));
    hn::StoreU(widened_words<format>(d, low), d, even + j);
    if (odd == nullptr) return;
    const auto high = hn::And(hn::ShiftRight<16>(pair), hn::Set(di32, 0xFFFF));
    hn::StoreU(widened_words<format>(d, high), d, odd + j);
  });
}

/// values [k, n], a pair of rows of a block of columns at a time.
template <half_format format>
void pack_rows(const float* values, std::size_t k, std::size_t n, std::uint16_t* packed) {
  for (std::size_t j = 0; j < n; j += packed_block_columns) {
    const std::size_t columns = std::min(packed_block_columns, n - j);
    for (std::size_t p = 0; p < k; p += 2) {
      const float* even = values + p * n + j;
      pack_pair<format>(even, p + 1 < k ? even + n : nullptr, columns, packed);
      packed += 2 * packed_block_columns;
    }
    const std::size_t rest = (packed_rows(k) - (k + 1) / 2 * 2) * packed_block_columns;
    packed = std::fill_n(packed, rest, std::uint16_t{0});
  }
}

/// values [n, k]: some of a column are rounded in a row, and go to their places as pairs.
template <half_format format>
void pack_columns_of(const float* values, std::size_t k, std::size_t n, std::uint16_t* packed) {
  std::fill_n(packed, packed_words(k, n), std::uint16_t{0});
  constexpr std::size_t step = 64;
  std::uint16_t words[step];
  for (std::size_t p = 0; p < k; p += step) {
    const std::size_t count = std::min(step, k - p);
    for (std::size_t j = 0; j < n; ++j) {
      round_all<format>(values + j * k + p, words, count);
      std::uint16_t* to = packed + packed_place(k, p, j);
      for (std::size_t i = 0; i < count; ++i)
        to[i / 2 * 2 * packed_block_columns + i % 2] = words[i];
    }
  }
}

template <half_format format>
void unpack_all(const std::uint16_t* packed, std::size_t k, std::size_t n, float* values) {
  for (std::size_t j = 0; j < n; j += packed_block_columns) {
    const std::size_t columns = std::min(packed_block_columns, n - j);
    const std::uint16_t* from = packed + packed_place(k, 0, j);
    for (std::size_t p = 0; p < k; p += 2, from += 2 * packed_block_columns) {
      float* even = values + p * n + j;
      unpack_pair<format>(from, columns, even, p + 1 < k ? even + n : nullptr);
    }
  }
}

/// Calls work<format>().
template <class Work>
HWY_INLINE void with_format(half_format format, const Work& work) {
  if (format == half_format::bf16) return work.template operator()<half_format::bf16>();
  return work.template operator()<half_format::fp16>();
}

void round_target(half_format format, const float* values, std::uint16_t* words, std::size_t n) {
  with_format(format, [=]<half_format f>() { round_all<f>(values, words, n); });
}

void widen_target(half_format format, const std::uint16_t* words, float* values, std::size_t n) {
  with_format(format, [=]<half_format f>() { widen_all<f>(words, values, n); });
}

void pack_target(const pack_halves_args& args) {
  with_format(args.format, [&]<half_format f>() {
    const auto pack = args.transposed ? pack_columns_of<f> : pack_rows<f>;
    pack(args.values.data(), args.k, args.n, args.packed.data());
  });
}

void unpack_target(const half_gemm_args& args, float* values) {
  with_format(args.format,
              [&]<half_format f>() { unpack_all<f>(args.b.data(), args.k, args.n, values); });
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(round_target);
HWY_EXPORT(widen_target);
HWY_EXPORT(pack_target);
HWY_EXPORT(unpack_target);

void round_halves_cpu(const round_halves_args& args) {
  CHECK(args.words.size() == args.values.size());
  HWY_DYNAMIC_DISPATCH(round_target)
  (args.format, args.values.data(), args.words.data(), args.values.size());
}

void pack_halves_cpu(const pack_halves_args& args) {
  CHECK(args.values.size() == args.k * args.n);
  CHECK(args.packed.size() == packed_words(args.k, args.n));
  HWY_DYNAMIC_DISPATCH(pack_target)(args);
}

std::size_t half_gemm_workspace(std::size_t m, std::size_t n, std::size_t k) {
  return m * k + k * n + gemm_workspace(m, n, k);
}

void half_gemm_cpu(const half_gemm_args& args) {
  CHECK(args.a.size() == args.m * args.k);
  CHECK(args.b.size() == packed_words(args.k, args.n));
  CHECK(args.c.size() == args.m * args.n);
  CHECK(args.workspace.size() >= half_gemm_workspace(args.m, args.n, args.k));
  const std::span<float> a = args.workspace.first(args.a.size());
  const std::span<float> b = args.workspace.subspan(a.size(), args.k * args.n);
  HWY_DYNAMIC_DISPATCH(widen_target)(args.format, args.a.data(), a.data(), a.size());
  HWY_DYNAMIC_DISPATCH(unpack_target)(args, b.data());
  gemm({.a = a.data(),
        .a_stride = args.a_transposed ? args.m : args.k,
        .a_transposed = args.a_transposed,
        .b = b.data(),
        .b_stride = args.n,
        .c = args.c.data(),
        .c_stride = args.n,
        .m = args.m,
        .n = args.n,
        .k = args.k,
        .accumulate = args.accumulate,
        .workspace = args.workspace.subspan(a.size() + b.size())});
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
