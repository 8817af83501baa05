#include "kernels/attention/attention_kernel.hpp"
#include "kernels/attention/device_case.hpp"
#include "kernels/attention/gradient_norms.hpp"
#include "kernels/attention/key_gradient_kernel.hpp"
#include "kernels/attention/query_gradient_kernel.hpp"
#include "kernels/runtime/emulated_grid.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace headrace::kernels {
namespace {

/// Forward, so that o and lse are the device's, and the three kernels of backward.
template <class Element, class Tiles>
void backward(device_case<Element>& one, std::uint64_t seed) {
  using forward_tiles = attention_tiles<Tiles::dim, 1, 1, 32>;
  const attention_backward_view view = one.backward_view();
  const auto tokens = static_cast<std::uint32_t>(one.exact.tokens);
  const std::uint32_t sequences = view.forward.sequences;
  const std::uint32_t heads = view.forward.heads;
  emulate({.grid = {tile_numbers(tokens, sequences, forward_tiles::rows), heads, 1},
           .threads = forward_tiles::threads,
           .shared_bytes = forward_tiles::shared_bytes,
           .seed = seed},
          attention_kernel<Element, forward_tiles>,
          view.forward);
  emulate({.grid = {tokens * heads * Tiles::dim / 8 / 128 + 1, 1, 1}, .threads = 128, .seed = seed},
          gradient_dots_kernel<Element, Tiles::dim>,
          view,
          tokens);
  const std::uint32_t tiles = tile_numbers(tokens, sequences, Tiles::rows);
  const emulation by_query = {.grid = {tiles, heads, 1},
                              .threads = Tiles::threads,
                              .shared_bytes = Tiles::shared_bytes,
                              .seed = seed};
  emulate(by_query, query_gradient_kernel<Element, Tiles>, view);
  emulation by_key = by_query;
  by_key.grid.y = view.forward.kv_heads;
  emulate(by_key, key_gradient_kernel<Element, Tiles>, view);
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
}

TEST(AttentionBackwardEmulated, GivesTheSameBitsInAnyOrderOfThreadsAndBlocks) {
  using tiles = gradient_tiles<16, 1, 2, 16>;
  const attention_shape shape = {.lengths = {40, 17, 5},
                                 .heads = 4,
                                 .kv_heads = 2,
                                 .head_dim = 16,
                                 .mask = {.causal = true, .window = 33},
                                 .gated = true};
  device_case<device::brain> one(shape);
  backward<device::brain, tiles>(one, 1);
  for (const std::uint64_t seed : {2U, 3U, 4U, 5U}) {
    device_case<device::brain> two(shape);
    backward<device::brain, tiles>(two, seed);
    ASSERT_TRUE(same_bits(two.gradients.span(), one.gradients.span())) << "seed " << seed;
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
