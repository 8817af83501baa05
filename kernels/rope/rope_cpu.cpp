#include "base/check.hpp"
#include "kernels/rope/rope.hpp"

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/rope/rope_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// Turns the pairs of one head; backwards for `inverse`.
template <bool inverse>
HWY_INLINE void rotate_head(const float* cosines, std::size_t pairs, float* head) {
  const float* sines = cosines + pairs;
  for_columns(0, pairs, [cosines, sines, head](auto d, std::size_t i) HWY_ATTR {
    const auto cosine = hn::LoadU(d, cosines + i);
    const auto loaded = hn::LoadU(d, sines + i);
    const auto sine = inverse ? hn::Neg(loaded) : loaded;
    hn::Vec<decltype(d)> x;
    hn::Vec<decltype(d)> y;
    hn::LoadInterleaved2(d, head + 2 * i, x, y);
    hn::StoreInterleaved2(hn::NegMulAdd(y, sine, hn::Mul(x, cosine)),
                          hn::MulAdd(x, sine, hn::Mul(y, cosine)),
                          d,
                          head + 2 * i);
  });
}

template <bool inverse>
void rotate_all(const rope_args& args) {
  float* head = args.values.data();
  for (const std::uint32_t position : args.positions) {
    const float* cosines = args.table.data() + position * args.dim;
    for (std::size_t h = 0; h < args.heads; ++h, head += args.dim) {
      rotate_head<inverse>(cosines, args.dim / 2, head);
    }
  }
}

void rope_target(const rope_args& args) {
  if (args.inverse) return rotate_all<true>(args);
  rotate_all<false>(args);
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(rope_target);

void rope_cpu(const rope_args& args) {
  CHECK(args.dim > 0);
  CHECK(args.dim % 2 == 0);
  CHECK(args.values.size() == args.positions.size() * args.heads * args.dim);
  CHECK(args.table.size() % args.dim == 0);
  const std::size_t positions_known = args.table.size() / args.dim;
  for (const std::uint32_t position : args.positions) CHECK(position < positions_known);
  HWY_DYNAMIC_DISPATCH(rope_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
