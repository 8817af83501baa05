#include "kernels/attention/attention_launch.hpp"
#include "kernels/attention/device_case.hpp"
#include "kernels/runtime/emulated_cases.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace headrace::kernels {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

template <class Element, class Tiles>
void forward(device_case<Element>& one, std::uint64_t seed) {
  launch_attention_in<Element, Tiles>(
      one.forward_view(), static_cast<std::uint32_t>(one.exact.tokens), emulated_launch{seed});
}

/// The kernel's bound: weights and outputs are rounded to the format, scores below 64 are f32.
template <class Element>
void expect_close(const device_case<Element>& got) {
  const double rounding = element_of_words<Element>::rounding;
  const std::vector<double> wanted = doubles(got.exact.o.span());
  const std::vector<double> given = got.outputs();
  ASSERT_LE(error_norm(given, wanted), 1.5 * rounding * norm(wanted));
  for (std::size_t i = 0; i < wanted.size(); ++i)
    ASSERT_LE(std::abs(given[i] - wanted[i]), 2.0 * (2.0 * rounding + 1e-3)) << "at " << i;
  for (std::size_t i = 0; i < got.lse.size(); ++i) {
    const double log_sum = got.exact.lse.span()[i];
    if (log_sum == -infinity) {
      ASSERT_EQ(static_cast<double>(got.lse[i]), log_sum) << "at " << i;
    } else {
      ASSERT_LE(std::abs(static_cast<double>(got.lse[i]) - log_sum), 1e-5 * (1 + std::abs(log_sum)))
          << "at " << i;
    }
  }
}

template <class Element, class Tiles>
void check_shape(const attention_shape& shape) {
  SCOPED_TRACE(describe(shape) + ", HEADRACE_SEED=" + std::to_string(test_seed()));
  device_case<Element> one(shape);
  attention_ref(one.exact.forward_args());
  forward<Element, Tiles>(one, test_seed());
  expect_close(one);
}

using small_tiles = attention_tiles<16, 1, 1, 32>;
using short_tiles = attention_tiles<32, 1, 1, 32>;
using long_tiles = attention_tiles<64, 2, 4, 64>;
using wide_tiles = attention_tiles<128, 2, 4, 32>;  // reads its queries from shared memory

TEST(AttentionEmulated, OfShortSequencesStaysWithinItsBound) {
  const std::vector<attention_shape> shapes = {
      {.lengths = {}},
      {.lengths = {0, 1, 0}},
      {.lengths = {1, 2, 3}, .mask = {.causal = true}},
      {.lengths = {5, 0, 16, 17, 33}, .heads = 3, .kv_heads = 3},
      {.lengths = {70}, .mask = {.window = 5}},
      {.lengths = {65, 31}, .heads = 4, .kv_heads = 2, .mask = {.causal = true, .window = 20}},
      {.lengths = {97}, .mask = {.causal = true, .window = 9, .globals = 3}},
      {.lengths = {80}, .mask = {.window = 10, .globals = 34}},
      {.lengths = {40}, .mask = {.causal = true, .window = 0, .globals = 2}},
      {.lengths = {20}, .mask = {.window = 0}},
      {.lengths = {50, 7}, .alibi = true},
      {.lengths = {40}, .mask = {.causal = true}, .table = 9},
      {.lengths = {1, 47}, .mask = {.window = 30, .globals = 4}, .alibi = true, .table = 200},
      {.lengths = {20, 18, 1, 3}, .heads = 6, .kv_heads = 2, .gated = true},
      {.lengths = {20}, .scale = -0.3},
      {.lengths = {20}, .scale = 1e-30}};
  for (attention_shape shape : shapes) {
    shape.head_dim = 32;
    check_shape<device::brain, short_tiles>(shape);
    shape.head_dim = 16;
    check_shape<device::half, small_tiles>(shape);
  }
}

TEST(AttentionEmulated, OfLongTilesStaysWithinItsBound) {
  check_shape<device::brain, long_tiles>(
      {.lengths = {130, 3}, .heads = 1, .head_dim = 64, .mask = {.causal = true}});
  check_shape<device::half, long_tiles>({.lengths = {100},
                                         .head_dim = 64,
                                         .mask = {.causal = true, .window = 20, .globals = 3},
                                         .alibi = true});
  check_shape<device::brain, wide_tiles>(
      {.lengths = {1, 70}, .heads = 1, .head_dim = 128, .mask = {.causal = true}, .table = 30});
  check_shape<device::half, wide_tiles>({.lengths = {50}, .heads = 1, .head_dim = 128});
}

TEST(AttentionEmulated, GivesTheSameBitsInAnyOrderOfThreadsAndBlocks) {
  const attention_shape shape = {
      .lengths = {40, 17, 5}, .head_dim = 32, .mask = {.causal = true, .window = 33}};
  device_case<device::brain> one(shape);
  forward<device::brain, attention_tiles<32, 1, 2, 16>>(one, 1);
  for (const std::uint64_t seed : {2U, 3U, 4U, 5U}) {
    device_case<device::brain> two(shape);
    forward<device::brain, attention_tiles<32, 1, 2, 16>>(two, seed);
    ASSERT_TRUE(same_bits(two.o.span(), one.o.span())) << "seed " << seed;
    ASSERT_EQ(two.lse, one.lse) << "seed " << seed;
  }
}

TEST(AttentionEmulated, WithAWindowThatHidesNothingHasTheBitsOfNoWindow) {
  for (const bool causal : {false, true}) {
    attention_shape shape = {.lengths = {75, 20}, .head_dim = 32, .mask = {.causal = causal}};
    device_case<device::brain> all(shape);
    forward<device::brain, short_tiles>(all, test_seed());
    for (const std::size_t window : {75UL, 76UL, 1'000UL}) {
      shape.mask = {.causal = causal, .window = window, .globals = window % 2 * 34};
      device_case<device::brain> near(shape);
      forward<device::brain, short_tiles>(near, test_seed());
      ASSERT_TRUE(same_bits(near.o.span(), all.o.span())) << "window " << window;
      ASSERT_EQ(near.lse, all.lse) << "window " << window;
    }
  }
}

TEST(AttentionEmulated, OfInactiveHeadsIsZeroAndLeavesTheOthersTheirBits) {
  const attention_shape shape = {.lengths = {37, 3}, .heads = 4, .kv_heads = 2, .head_dim = 16};
  device_case<device::half> all(shape);
  forward<device::half, small_tiles>(all, test_seed());
  device_case<device::half> some(shape);
  some.exact.active = {1, 0, 0, 1, 0, 1, 1, 0};
  forward<device::half, small_tiles>(some, test_seed());
  for (std::size_t i = 0; i < some.o.span().size(); ++i) {
    const std::size_t sequence = i / 64 < 37 ? 0 : 1;
    const bool active = some.exact.active[sequence * 4 + i / 16 % 4] != 0;
    ASSERT_EQ(some.o.span()[i], active ? all.o.span()[i] : 0);
    ASSERT_EQ(some.lse[i / 16], active ? all.lse[i / 16] : -static_cast<float>(infinity));
  }
}

TEST(AttentionEmulated, LetsNanThrough) {
  device_case<device::brain> one({.lengths = {40}, .heads = 1, .head_dim = 32});
  one.qkv.data()[20 * one.stride + one.exact.q_width] = 0x7FC0;  // a key's
  forward<device::brain, short_tiles>(one, test_seed());
  for (const double value : one.outputs()) ASSERT_TRUE(std::isnan(value));
}

}  // namespace
}  // namespace headrace::kernels
