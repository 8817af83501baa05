#include "kernels/attention/device_case.hpp"
#include "kernels/decode_attention/decode_attention.hpp"
#include "kernels/decode_attention/decode_attention_launch.hpp"
#include "kernels/decode_attention/merge_attention_kernel.hpp"
#include "kernels/runtime/emulated_cases.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

namespace headrace::kernels {
namespace {

struct decode_shape {
  kv_cache_shape cache;
  std::size_t group = 1;  // heads of a key head
  std::vector<std::uint32_t> lengths;
  std::uint32_t splits = 1;
  std::size_t begin = 0;
  std::size_t end = 1'000;
  double scale = 0.3;
};

/// A cache of one format's numbers, for the reference and for the kernels, and what each gives.
template <class Element>
struct decode_case {
  explicit decode_case(const decode_shape& s)
      : shape(s),
        heads(s.group * s.cache.kv_heads),
        rows(s.cache.sequences * heads),
        q(rows * s.cache.head_dim),
        keys(s.cache.size()),
        values(s.cache.size()),
        o(q.span().size()),
        lse(rows, poison<float>),
        exact_q(q.span().size()),
        exact_keys(s.cache.size()),
        exact_values(s.cache.size()),
        exact_o(q.span().size()),
        exact_lse(rows) {
    random_stream random(test_seed());
    draw(random, exact_q, q);
    draw(random, exact_keys, keys);
    draw(random, exact_values, values);
    decode_attention_ref(basic_decode_attention_args<double>{
        .cache = s.cache,
        .q = exact_q,
        .keys = exact_keys,
        .values = exact_values,
        .lengths = s.lengths,
        .heads = heads,
        .scale = static_cast<double>(static_cast<float>(s.scale)),
        .slots_begin = s.begin,
        .slots_end = s.end,
        .o = exact_o,
        .lse = exact_lse});
  }

  template <int dim>
  void run(const emulated_launch& launch) {
    std::vector<float> workspace(decode_workspace(rows, dim, shape.splits), poison<float>);
    launch_decode_in<Element, dim>({.q = q.data(),
                                    .keys = keys.data(),
                                    .values = values.data(),
                                    .lengths = shape.lengths.data(),
                                    .sequences = static_cast<std::uint32_t>(shape.cache.sequences),
                                    .heads = static_cast<std::uint32_t>(heads),
                                    .kv_heads = static_cast<std::uint32_t>(shape.cache.kv_heads),
                                    .slots = static_cast<std::uint32_t>(shape.cache.slots()),
                                    .slots_begin = static_cast<std::uint32_t>(shape.begin),
                                    .slots_end = static_cast<std::uint32_t>(shape.end),
                                    .scale = static_cast<float>(shape.scale),
                                    .splits = shape.splits,
                                    .o = o.data(),
                                    .lse = lse.data()},
                                   workspace.data(),
                                   launch);
  }

  void expect_close() const {
    const double rounding = element_of_words<Element>::rounding;
    const std::vector<double> given = device_case<Element>::values(o.span());
    EXPECT_LE(error_norm(given, exact_o), 1.5 * rounding * norm(exact_o));
    for (std::size_t row = 0; row < rows; ++row) {
      if (std::isinf(exact_lse[row])) {
        EXPECT_EQ(static_cast<double>(lse[row]), exact_lse[row]);
      } else {
        EXPECT_NEAR(static_cast<double>(lse[row]), exact_lse[row], 1e-5);
      }
    }
  }

  static void draw(random_stream& random, std::vector<double>& exact, device_rows& bits) {
    for (std::size_t i = 0; i < exact.size(); ++i) {
      bits.data()[i] = element_bits<Element>(static_cast<double>(next_signed(random, 2.0F)));
      exact[i] = element_value<Element>(bits.data()[i]);
    }
  }

  decode_shape shape;
  std::size_t heads;
  std::size_t rows;
  device_rows q;
  device_rows keys;
  device_rows values;
  device_rows o;
  std::vector<float> lse;
  std::vector<double> exact_q;
  std::vector<double> exact_keys;
  std::vector<double> exact_values;
  std::vector<double> exact_o;
  std::vector<double> exact_lse;
};

template <class Element, int dim>
void check_shape(decode_shape shape) {
  shape.cache.head_dim = dim;
  shape.cache.sequences = shape.lengths.size();
  SCOPED_TRACE("head_dim " + std::to_string(dim) + ", slots " +
               std::to_string(shape.cache.slots()) + ", group " + std::to_string(shape.group) +
               ", splits " + std::to_string(shape.splits) +
               ", HEADRACE_SEED=" + std::to_string(test_seed()));
  decode_case<Element> one(shape);
  one.template run<dim>(emulated_launch{test_seed()});
  one.expect_close();
}

TEST(DecodeAttentionEmulated, StaysWithinItsBoundOfTheDoubleReference) {
  const kv_cache_shape ring = {.kv_heads = 2, .pinned = 3, .window = 70};
  const std::vector<decode_shape> shapes = {
      {.cache = ring, .lengths = {0, 1, 15, 16, 17, 73, 400}},
      {.cache = ring, .group = 4, .lengths = {90, 5}, .splits = 3},
      {.cache = ring, .group = 17, .lengths = {64}},
      {.cache = ring, .group = 2, .lengths = {80, 4, 40}, .begin = 5, .end = 39},
      {.cache = ring, .lengths = {80, 0}, .splits = 2, .begin = 30},
      {.cache = ring, .lengths = {80}, .begin = 73},
      {.cache = ring, .lengths = {50}, .scale = -0.2}};
  for (const decode_shape& shape : shapes) {
    check_shape<device::brain, 32>(shape);
    check_shape<device::half, 16>(shape);
  }
  const kv_cache_shape wide = {.kv_heads = 1, .pinned = 0, .window = 200};
  check_shape<device::brain, 128>({.cache = wide, .group = 3, .lengths = {190}, .splits = 2});
  check_shape<device::half, 64>({.cache = wide, .group = 8, .lengths = {500, 30}});
}

TEST(DecodeAttentionEmulated, GivesTheSameBitsInAnyOrderOfThreadsAndBlocks) {
  const decode_shape shape = {
      .cache = {.sequences = 3, .kv_heads = 2, .head_dim = 16, .pinned = 1, .window = 150},
      .group = 3,
      .lengths = {151, 17, 80},
      .splits = 3};
  decode_case<device::brain> one(shape);
  one.run<16>(emulated_launch{1});
  for (const std::uint64_t seed : {2U, 3U, 4U}) {
    decode_case<device::brain> two(shape);
    two.run<16>(emulated_launch{seed});
    ASSERT_TRUE(same_bits(two.o.span(), one.o.span())) << "seed " << seed;
    ASSERT_EQ(two.lse, one.lse) << "seed " << seed;
  }
}

/// Rows with keys on both sides, on one, on none; a dim of no whole warp.
template <class Element>
void check_merge() {
  constexpr std::size_t rows = 9;
  constexpr std::size_t dim = 37;
  random_stream random(test_seed());
  std::vector<std::vector<double>> exact(2, std::vector<double>(rows * dim));
  std::vector<device_rows> bits(2, device_rows(rows * dim));
  std::vector<std::vector<double>> exact_lse(2, std::vector<double>(rows));
  std::vector<std::vector<float>> lse(2, std::vector<float>(rows));
  for (std::size_t side = 0; side < 2; ++side) {
    for (std::size_t i = 0; i < rows * dim; ++i) {
      bits[side].data()[i] = element_bits<Element>(static_cast<double>(next_signed(random)));
      exact[side][i] = element_value<Element>(bits[side].data()[i]);
    }
    for (std::size_t row = 0; row < rows; ++row) {
      const bool none = row % 4 == 3 || row % 4 == side + 1;
      lse[side][row] = none ? -std::numeric_limits<float>::infinity() : next_signed(random, 4.0F);
      exact_lse[side][row] = static_cast<double>(lse[side][row]);
    }
  }
  launch_merge_attention<Element>(
      {bits[0].data(), lse[0].data(), bits[1].data(), lse[1].data(), rows, dim},
      emulated_launch{test_seed()});
  merge_attention_ref(basic_merge_attention_args<double>{.o = exact[0],
                                                         .lse = exact_lse[0],
                                                         .other_o = exact[1],
                                                         .other_lse = exact_lse[1],
                                                         .dim = dim});
  const std::vector<double> given = device_case<Element>::values(bits[0].span());
  for (std::size_t i = 0; i < rows * dim; ++i)
    ASSERT_NEAR(given[i], exact[0][i], element_of_words<Element>::rounding) << "at " << i;
  for (std::size_t row = 0; row < rows; ++row) {
    const auto log_sum = static_cast<double>(lse[0][row]);
    if (std::isinf(exact_lse[0][row])) {
      ASSERT_EQ(log_sum, exact_lse[0][row]) << "row " << row;
    } else {
      ASSERT_NEAR(log_sum, exact_lse[0][row], 1e-5) << "row " << row;
    }
  }
}

TEST(DecodeAttentionEmulated, MergesTwoSetsOfKeys) {
  check_merge<device::brain>();
  check_merge<device::half>();
}

TEST(DecodeAttentionEmulated, SplitsEverySlotOnceAndEvenly) {
  for (std::uint32_t n = 0; n < 200; ++n) {
    for (const std::uint32_t splits : {1U, 2U, 3U, 7U, 20U}) {
      std::uint32_t next = 5;
      for (std::uint32_t nth = 0; nth < splits; ++nth) {
        const slot_range part = split_slots(5, 5 + n, nth, splits);
        ASSERT_EQ(part.begin, next) << n << ", " << splits;
        ASSERT_LE(part.end - part.begin, (n / decode_slots / splits + 1) * decode_slots);
        next = part.end;
      }
      ASSERT_EQ(next, 5 + n);
    }
    EXPECT_EQ(split_slots(9, 5, 0, 2).end, 9U);
  }
}

TEST(DecodeAttentionEmulated, SplitsNoFinerThanAGpuNeedsAndMergingIsWorth) {
  EXPECT_EQ(decode_splits(0, 0), 1U);
  EXPECT_EQ(decode_splits(1, decode_slots_least), 1U);
  EXPECT_EQ(decode_splits(1, 2 * decode_slots_least), 2U);
  EXPECT_EQ(decode_splits(decode_blocks, 1'000'000), 1U);
  EXPECT_EQ(decode_splits(decode_blocks / 4, 1'000'000), 4U);
}

}  // namespace
}  // namespace headrace::kernels
