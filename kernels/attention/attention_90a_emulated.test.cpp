#include "kernels/attention/attention_90a_launch.hpp"
#include "kernels/attention/device_case.hpp"
#include "kernels/runtime/emulated_cases.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace headrace::kernels {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

template <class Element, int dim>
void forward(device_case<Element>& one, std::uint64_t seed) {
  launch_attention_90a<Element, dim>(one.forward_view(),
                                     static_cast<std::uint32_t>(one.exact.tokens),
                                     emulated_map,
                                     emulated_launch{seed});
}

/// attention_emulated.test.cpp's bound.
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
    const double log_sum_got = static_cast<double>(got.lse[i]);
    ASSERT_TRUE(log_sum_got == log_sum ||
                std::abs(log_sum_got - log_sum) <= 1e-5 * (1 + std::abs(log_sum)))
        << "at " << i << ": " << log_sum_got << " for " << log_sum;
  }
}

template <class Element, int dim>
void check_shape(attention_shape shape) {
  shape.head_dim = dim;
  for (std::uint64_t order = 0; order < 2; ++order) {
    SCOPED_TRACE(describe(shape) + ", HEADRACE_SEED=" + std::to_string(test_seed()));
    device_case<Element> one(shape);
    attention_ref(one.exact.forward_args());
    forward<Element, dim>(one, test_seed() + order);
    expect_close(one);
  }
}

TEST(Attention90a, OfShortSequencesStaysWithinItsBound) {
  check_shape<device::brain, 64>({.lengths = {}});
  check_shape<device::brain, 64>({.lengths = {0, 1, 0, 33}, .heads = 2, .kv_heads = 1});
  check_shape<device::half, 64>({.lengths = {5, 17}, .mask = {.causal = true}, .alibi = true});
  check_shape<device::brain, 128>({.lengths = {20, 3}, .heads = 1, .mask = {.window = 0}});
  check_shape<device::half, 128>({.lengths = {9, 40}, .heads = 2, .kv_heads = 2, .gated = true});
}

TEST(Attention90a, OfManyTilesStaysWithinItsBound) {
  check_shape<device::brain, 64>({.lengths = {700}, .heads = 1});
  check_shape<device::half, 64>({.lengths = {390, 65}, .heads = 1, .mask = {.causal = true}});
  check_shape<device::brain, 128>(
      {.lengths = {300}, .heads = 1, .mask = {.causal = true, .window = 70, .globals = 3}});
  check_shape<device::half, 128>({.lengths = {257}, .heads = 1, .table = 30});
}

TEST(Attention90a, GivesTheSameBitsInAnyOrder) {
  const attention_shape shape = {
      .lengths = {300, 17}, .heads = 1, .head_dim = 64, .mask = {.causal = true}};
  device_case<device::brain> one(shape);
  forward<device::brain, 64>(one, 1);
  for (const std::uint64_t seed : {2U, 3U, 4U}) {
    device_case<device::brain> two(shape);
    forward<device::brain, 64>(two, seed);
    ASSERT_TRUE(same_bits(two.o.span(), one.o.span())) << "seed " << seed;
    ASSERT_EQ(two.lse, one.lse) << "seed " << seed;
  }
}

TEST(Attention90a, OfInactiveHeadsIsZero) {
  const attention_shape shape = {.lengths = {37, 3}, .heads = 2, .kv_heads = 1, .head_dim = 64};
  device_case<device::half> some(shape);
  some.exact.active = {1, 0, 0, 1};
  forward<device::half, 64>(some, test_seed());
  for (std::size_t i = 0; i < some.o.span().size(); ++i) {
    const std::size_t sequence = i / 128 < 37 ? 0 : 1;
    const bool active = i / 64 % 2 == sequence;
    ASSERT_EQ(some.o.span()[i] != 0 || some.lse[i / 64] != -static_cast<float>(infinity), active);
  }
}

TEST(Attention90a, KeepsOneSequencesBadNumbersFromTheNext) {
  device_case<device::brain> one({.lengths = {40, 50, 130}, .heads = 1, .head_dim = 64});
  for (std::size_t token = 40; token < 90; ++token)
    std::fill_n(one.qkv.data() + token * one.stride, 3 * 64, std::uint16_t{0x7FC0});
  forward<device::brain, 64>(one, test_seed());
  const std::vector<double> outputs = one.outputs();
  for (std::size_t i = 0; i < outputs.size(); ++i)
    ASSERT_EQ(std::isnan(outputs[i]), i / 64 >= 40 && i / 64 < 90) << "token " << i / 64;
}

}  // namespace
}  // namespace headrace::kernels
