#include "base/check.hpp"
#include "kernels/block_int4/block_int4.hpp"
#include "kernels/block_int4/block_scale.hpp"

#include <algorithm>
#include <array>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/block_int4/block_int4_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

using float_tag = hn::CappedTag<float, lanes_max>;
constexpr std::size_t block_bytes = int4_block / 2;

/// Blocks that go through each stage together: a block is a chain of latencies (maximum, two
/// divisions, rounding), 16 of them are not. Measured: 1.16 ns a value one by one, 0.96 so.
constexpr std::size_t group_blocks = 16;
/// 1.5 * 2^23: adding it to a number of magnitude below 2^22 rounds that to a whole one, ties to
/// even.
constexpr float rounding_offset = 0x1.8p23F;

/// max|block| of values + residuals, which the sums overwrite; of values alone where null.
HWY_INLINE float add_block(const float* values, float* residuals) {
  const float_tag d;
  auto largest = hn::Zero(d);
  for (std::size_t i = 0; i < int4_block; i += hn::Lanes(d)) {
    auto sum = hn::LoadU(d, values + i);
    if (residuals != nullptr) {
      sum = hn::Add(sum, hn::LoadU(d, residuals + i));
      hn::StoreU(sum, d, residuals + i);
    }
    largest = hn::Max(largest, hn::Abs(sum));
  }
  return hn::GetLane(hn::MaxOfLanes(d, largest));
}

/// codes = round(sums / scale); what is lost to `residuals` (null for nowhere), which may be
/// `sums`.
HWY_INLINE void round_block(
    const float* sums, float scale, float factor, std::int8_t* codes, float* residuals) {
  const float_tag d;
  const hn::RebindToSigned<float_tag> di32;
  const hn::Rebind<std::int8_t, float_tag> di8;
  const auto limit = hn::Set(d, 7.0F);
  const auto offset = hn::Set(d, rounding_offset);
  for (std::size_t i = 0; i < int4_block; i += hn::Lanes(d)) {
    const auto sum = hn::LoadU(d, sums + i);
    const auto steps = hn::Mul(sum, hn::Set(d, factor));
    const auto moved = hn::Add(hn::Clamp(steps, hn::Neg(limit), limit), offset);
    const auto code = hn::Sub(hn::BitCast(di32, moved), hn::BitCast(di32, offset));
    hn::Store(hn::DemoteTo(di8, code), di8, codes + i);
    if (residuals == nullptr) continue;
    const auto decoded = hn::Mul(hn::Sub(moved, offset), hn::Set(d, scale));
    hn::StoreU(hn::Sub(sum, decoded), d, residuals + i);
  }
}

HWY_INLINE void pack_block(const std::int8_t* codes, std::uint8_t* bytes) {
  const hn::CappedTag<std::uint8_t, block_bytes> du8;
  const hn::RebindToSigned<decltype(du8)> di8;
  for (std::size_t i = 0; i < block_bytes; i += hn::Lanes(du8)) {
    const auto first = hn::BitCast(du8, hn::Load(di8, codes + i));
    const auto second = hn::BitCast(du8, hn::Load(di8, codes + block_bytes + i));
    const auto low = hn::And(first, hn::Set(du8, 0x0F));
    hn::StoreU(hn::Or(low, hn::ShiftLeft<4>(second)), du8, bytes + i);
  }
}

HWY_INLINE void unpack_block(const std::uint8_t* bytes, std::int8_t* codes) {
  const hn::CappedTag<std::uint8_t, block_bytes> du8;
  const hn::RebindToSigned<decltype(du8)> di8;
  const auto sign = hn::Set(du8, 0x08);
  const auto extended = [=](auto half) HWY_ATTR {
    return hn::BitCast(di8, hn::Sub(hn::Xor(half, sign), sign));
  };
  for (std::size_t i = 0; i < block_bytes; i += hn::Lanes(du8)) {
    const auto both = hn::LoadU(du8, bytes + i);
    hn::Store(extended(hn::And(both, hn::Set(du8, 0x0F))), di8, codes + i);
    hn::Store(extended(hn::ShiftRight<4>(both)), di8, codes + block_bytes + i);
  }
}

/// Up to group_blocks whole blocks; residuals null for none.
HWY_INLINE void encode_group(const float* values,
                             float* residuals,
                             std::size_t blocks,
                             std::uint8_t* bytes,
                             std::uint16_t* scales) {
  const auto sums_of = [=](std::size_t b) {
    return residuals == nullptr ? nullptr : residuals + b * int4_block;
  };
  std::array<float, group_blocks> magnitudes;
  std::array<float, group_blocks> decoded_scales;
  std::array<float, group_blocks> factors;
  alignas(64) std::array<std::int8_t, int4_block> codes;
  for (std::size_t b = 0; b < blocks; ++b) {
    magnitudes[b] = add_block(values + b * int4_block, sums_of(b));
  }
  for (std::size_t b = 0; b < blocks; ++b) {
    scales[b] = block_scale(magnitudes[b]);
    decoded_scales[b] = half_to_float(scales[b]);
    factors[b] = scales[b] == 0 ? 0.0F : 1.0F / decoded_scales[b];
  }
  for (std::size_t b = 0; b < blocks; ++b) {
    const float* sums = residuals == nullptr ? values + b * int4_block : sums_of(b);
    round_block(sums, decoded_scales[b], factors[b], codes.data(), sums_of(b));
    pack_block(codes.data(), bytes + b * block_bytes);
  }
}

/// The last block, of less than 32 values, padded with zeros: they change neither scale nor codes.
void encode_rest(const encode_int4_args& args, std::size_t begin) {
  const std::size_t size = args.values.size() - begin;
  const bool feedback = !args.residuals.empty();
  std::array<float, int4_block> values{};
  std::array<float, int4_block> residuals{};
  std::array<std::uint8_t, block_bytes> bytes;
  std::copy_n(args.values.data() + begin, size, values.data());
  if (feedback) std::copy_n(args.residuals.data() + begin, size, residuals.data());
  float* sums = feedback ? residuals.data() : nullptr;
  encode_group(values.data(), sums, 1, bytes.data(), &args.scales.back());
  if (feedback) std::copy_n(residuals.data(), size, args.residuals.data() + begin);
  std::copy_n(bytes.data(), int4_bytes(size), args.codes.data() + begin / 2);
}

void encode_int4_target(const encode_int4_args& args) {
  const std::size_t whole = args.values.size() / int4_block;
  for (std::size_t block = 0; block < whole; block += group_blocks) {
    const std::size_t begin = block * int4_block;
    encode_group(args.values.data() + begin,
                 args.residuals.empty() ? nullptr : args.residuals.data() + begin,
                 std::min(group_blocks, whole - block),
                 args.codes.data() + block * block_bytes,
                 args.scales.data() + block);
  }
  const std::size_t coded = whole * int4_block;
  if (coded < args.values.size()) encode_rest(args, coded);
}

HWY_INLINE void decode_block(const std::uint8_t* bytes, float scale, float* values) {
  const float_tag d;
  const hn::RebindToSigned<float_tag> di32;
  const hn::Rebind<std::int8_t, float_tag> di8;
  alignas(64) std::array<std::int8_t, int4_block> codes;
  unpack_block(bytes, codes.data());
  for (std::size_t i = 0; i < int4_block; i += hn::Lanes(d)) {
    const auto code = hn::ConvertTo(d, hn::PromoteTo(di32, hn::Load(di8, codes.data() + i)));
    hn::StoreU(hn::Mul(code, hn::Set(d, scale)), d, values + i);
  }
}

void decode_int4_target(const decode_int4_args& args) {
  const std::size_t n = args.values.size();
  std::size_t begin = 0;
  for (; begin + int4_block <= n; begin += int4_block) {
    decode_block(args.codes.data() + begin / 2,
                 half_to_float(args.scales[begin / int4_block]),
                 args.values.data() + begin);
  }
  if (begin == n) return;
  std::array<std::uint8_t, block_bytes> bytes{};
  std::array<float, int4_block> values;
  std::copy_n(args.codes.data() + begin / 2, int4_bytes(n - begin), bytes.data());
  decode_block(bytes.data(), half_to_float(args.scales.back()), values.data());
  std::copy_n(values.data(), n - begin, args.values.data() + begin);
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(encode_int4_target);
HWY_EXPORT(decode_int4_target);

void encode_int4_cpu(const encode_int4_args& args) {
  CHECK(args.residuals.empty() || args.residuals.size() == args.values.size());
  CHECK(args.codes.size() == int4_bytes(args.values.size()));
  CHECK(args.scales.size() == int4_scales(args.values.size()));
  HWY_DYNAMIC_DISPATCH(encode_int4_target)(args);
}

void decode_int4_cpu(const decode_int4_args& args) {
  CHECK(args.codes.size() == int4_bytes(args.values.size()));
  CHECK(args.scales.size() == int4_scales(args.values.size()));
  HWY_DYNAMIC_DISPATCH(decode_int4_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
