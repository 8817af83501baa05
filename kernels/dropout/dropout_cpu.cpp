#include "base/check.hpp"
#include "base/random.hpp"
#include "kernels/dropout/dropout.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/dropout/dropout_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// Draws are 64-bit multiplications, which vectors up to AVX2 lack: one at a time, a block ahead of
/// the vectors that use them.
constexpr std::size_t block = 256;
using block_draws = std::array<std::uint16_t, block>;

/// The quarters for elements [begin, begin + block), begin a multiple of 4. Low first: the order in
/// which the machine stores them.
HWY_INLINE void draw_block(std::uint64_t mask, std::size_t begin, block_draws& draws) {
  static_assert(std::endian::native == std::endian::little);
  for (std::size_t i = 0; i < block; i += 4) {
    const std::uint64_t draw = counter_draw(mask, 0, (begin + i) / 4);
    std::memcpy(draws.data() + i, &draw, sizeof(draw));
  }
}

void dropout_target(const dropout_args& args) {
  const std::uint64_t mask = counter_draw(args.key.seed, args.key.layer, args.key.step);
  const std::int32_t dropped = static_cast<std::int32_t>(dropout_threshold(args.rate)) - 1;
  const float scale = static_cast<float>(dropout_scale(args.rate));
  const float* values = args.values.data();
  float* results = args.results.data();
  block_draws draws;
  for (std::size_t begin = 0; begin < args.values.size(); begin += block) {
    const std::size_t n = std::min(block, args.values.size() - begin);
    draw_block(mask, begin, draws);
    for_columns(
        0, n, [&draws, values, results, begin, dropped, scale](auto d, std::size_t i) HWY_ATTR {
          const hn::RebindToSigned<decltype(d)> di;
          const hn::Rebind<std::uint16_t, decltype(d)> quarters;
          const auto draw = hn::PromoteTo(di, hn::LoadU(quarters, draws.data() + i));
          const auto kept = hn::RebindMask(d, hn::Gt(draw, hn::Set(di, dropped)));
          const auto scaled = hn::Mul(hn::LoadU(d, values + begin + i), hn::Set(d, scale));
          hn::StoreU(hn::IfThenElseZero(kept, scaled), d, results + begin + i);
        });
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(dropout_target);

void dropout_cpu(const dropout_args& args) {
  CHECK(args.results.size() == args.values.size());
  CHECK(args.rate >= 0.0F);
  CHECK(args.rate < 1.0F);
  HWY_DYNAMIC_DISPATCH(dropout_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
