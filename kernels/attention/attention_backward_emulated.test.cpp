#include "kernels/attention/attention_backward_launch.hpp"
#include "kernels/attention/device_case.hpp"
#include "kernels/attention/gradient_norms.hpp"
#include "kernels/runtime/emulated_cases.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace headrace::kernels {
namespace {

/// Forward, so that o and lse are the device's, and the kernels of backward, in tiles of a size.
template <class Element, class Tiles>
void backward(device_case<Element>& one, std::uint64_t seed) {
  const emulated_launch launch{seed};
  attention_backward_view view = one.backward_view();
  const auto tokens = static_cast<std::uint32_t>(one.exact.tokens);
  launch_attention<Element>(view.forward, Tiles::dim, tokens, launch);
  launch_dots<Element, Tiles::dim>(view, tokens, launch);
  launch_gradients_in<Element, Tiles>(view, tokens, launch);
  if (!one.table.empty()) {
    std::vector<float> tables(table_gradient_blocks * one.table.size(), poison<float>);
    launch_table_gradient<Element, Tiles::dim>(
        view, {tables.data(), one.table_gradient.data()}, tokens, launch);
  }
}

template <class Element>
void expect_close(const device_case<Element>& got) {
  const attention_case<double>& exact = got.exact;
  const gradient_norms norms(exact);
  const double share = element_of_words<Element>::rounding;
  const std::size_t q = exact.q_width;
  const std::size_t kv = exact.kv_width;
  EXPECT_LE(error_norm(got.gradient(0, q), exact.dq()), share * norm(norms.q));
  EXPECT_LE(error_norm(got.gradient(q, kv), exact.dk()), share * norm(norms.k));
  EXPECT_LE(error_norm(got.gradient(q + kv, kv), exact.dv()), share * norm(norms.v));
  const std::vector<double> table(got.table_gradient.begin(), got.table_gradient.end());
  EXPECT_LE(error_norm(table, exact.d_table()), share * norm(norms.table));
  // Where rounding stays small beside the gradient, the two also agree at once.
  EXPECT_LE(error_norm(got.gradient(q + kv, kv), exact.dv()), 2 * share * norm(exact.dv()));
}

template <class Element, class Tiles>
void check_shape(const attention_shape& shape) {
  SCOPED_TRACE(describe(shape) + ", HEADRACE_SEED=" + std::to_string(test_seed()));
  device_case<Element> one(shape);
  one.exact.backward([](const auto& args) { attention_backward_ref(args); });
  backward<Element, Tiles>(one, test_seed());
  expect_close(one);
}

using small_tiles = gradient_tiles<16, 1, 1, 32>;
using short_tiles = gradient_tiles<32, 1, 1, 32>;
using long_tiles = gradient_tiles<64, 2, 4, 32>;
using wide_tiles = gradient_tiles<128, 1, 4, 32>;

TEST(AttentionBackwardEmulated, OfShortSequencesStaysWithinItsBound) {
  const std::vector<attention_shape> shapes = {
      {.lengths = {}},
      {.lengths = {0, 1, 0}},
      {.lengths = {1, 2, 3}, .mask = {.causal = true}},
      {.lengths = {5, 0, 16, 17, 33}, .heads = 3, .kv_heads = 3},
      {.lengths = {50}, .mask = {.window = 5}},
      {.lengths = {49, 31}, .heads = 4, .kv_heads = 2, .mask = {.causal = true, .window = 20}},
      {.lengths = {67}, .mask = {.causal = true, .window = 9, .globals = 3}},
      {.lengths = {60}, .mask = {.window = 10, .globals = 34}},
      {.lengths = {40}, .mask = {.causal = true, .window = 0, .globals = 2}},
      {.lengths = {20}, .mask = {.window = 0}},
      {.lengths = {40, 7}, .alibi = true},
      {.lengths = {1, 37}, .mask = {.window = 30, .globals = 4}, .alibi = true, .table = 200},
      {.lengths = {70, 3}, .mask = {.causal = true}, .table = 20},
      {.lengths = {40}, .mask = {.window = 12, .globals = 2}, .table = 1},
      {.lengths = {20, 18, 1, 3}, .heads = 6, .kv_heads = 2, .gated = true}};
  for (attention_shape shape : shapes) {
    shape.head_dim = 32;
    check_shape<device::brain, short_tiles>(shape);
    shape.head_dim = 16;
    check_shape<device::half, small_tiles>(shape);
  }
}

TEST(AttentionBackwardEmulated, OfLongTilesStaysWithinItsBound) {
  check_shape<device::brain, long_tiles>(
      {.lengths = {130, 3}, .heads = 1, .head_dim = 64, .mask = {.causal = true}});
  check_shape<device::half, long_tiles>({.lengths = {50},
                                         .head_dim = 64,
                                         .mask = {.causal = true, .window = 20, .globals = 3},
                                         .alibi = true});
  check_shape<device::brain, wide_tiles>(
      {.lengths = {1, 70}, .heads = 1, .head_dim = 128, .mask = {.causal = true}, .table = 30});
  check_shape<device::brain, gradient_tiles<32, 1, 2, 16>>(
      {.lengths = {40}, .head_dim = 32, .mask = {.window = 0}});  // many warps, nothing to do
}

TEST(AttentionBackwardEmulated, GivesTheSameBitsInAnyOrderOfThreadsAndBlocks) {
  using tiles = gradient_tiles<16, 1, 2, 16>;
  const attention_shape shape = {.lengths = {40, 17, 5},
                                 .heads = 4,
                                 .kv_heads = 2,
                                 .head_dim = 16,
                                 .mask = {.window = 33, .globals = 2},
                                 .table = 4,
                                 .gated = true};
  device_case<device::brain> one(shape);
  std::ranges::fill(one.table_gradient, 0.0F);  // nothing beside which a last bit is lost
  backward<device::brain, tiles>(one, 1);
  for (const std::uint64_t seed : {2U, 3U, 4U, 5U}) {
    device_case<device::brain> two(shape);
    std::ranges::fill(two.table_gradient, 0.0F);
    backward<device::brain, tiles>(two, seed);
    ASSERT_TRUE(same_bits(two.gradients.span(), one.gradients.span())) << "seed " << seed;
    ASSERT_EQ(two.table_gradient, one.table_gradient) << "seed " << seed;
  }
}

TEST(AttentionBackwardEmulated, SharesTilesOutWhereThereAreMoreThanBlocks) {
  check_shape<device::brain, small_tiles>(
      {.lengths = std::vector<std::size_t>(80, 2), .heads = 1, .head_dim = 16, .table = 2});
}

TEST(AttentionBackwardEmulated, ChoosesTilesByTheMeanLength) {
  EXPECT_TRUE(are_short(127, 1));
  EXPECT_FALSE(are_short(128, 1));
  EXPECT_TRUE(are_short(128, 2));
  EXPECT_FALSE(are_short(0, 0));
  EXPECT_FALSE(with_head_dim(48, [](auto) {}));
}

TEST(AttentionBackwardEmulated, ClipsDiagonalsAsDistances) {
  for (std::int32_t least = -9; least < 9; ++least) {
    for (std::int32_t limit = 0; limit < 8; ++limit) {
      const diagonal_range inner = unclipped(least, 6, limit);
      for (std::int32_t d = 0; d < 6; ++d) {
        EXPECT_EQ(d < inner.first, least + d < -limit) << least << ", " << limit << ", " << d;
        EXPECT_EQ(d >= inner.last, least + d > limit) << least << ", " << limit << ", " << d;
      }
    }
  }
}

TEST(AttentionBackwardEmulated, WithAWindowThatHidesNothingHasTheBitsOfNoWindow) {
  for (const bool causal : {false, true}) {
    attention_shape shape = {.lengths = {45, 20}, .head_dim = 16, .mask = {.causal = causal}};
    device_case<device::brain> all(shape);
    backward<device::brain, small_tiles>(all, test_seed());
    shape.mask = {.causal = causal, .window = 45, .globals = 34};
    device_case<device::brain> near(shape);
    backward<device::brain, small_tiles>(near, test_seed());
    ASSERT_TRUE(same_bits(near.gradients.span(), all.gradients.span()));
  }
}

}  // namespace
}  // namespace headrace::kernels
