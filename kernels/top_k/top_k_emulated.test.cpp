#include "kernels/runtime/emulated_cases.hpp"
#include "kernels/top_k/top_k.hpp"
#include "kernels/top_k/top_k_launch.hpp"

#include <cmath>
#include <limits>
#include <vector>

namespace headrace::kernels {
namespace {

void expect_selects_as_the_reference(std::vector<float> values, std::uint32_t k) {
  SCOPED_TRACE(std::to_string(k) + " of " + std::to_string(values.size()));
  std::vector<std::uint32_t> wanted(k);
  std::vector<float> wanted_values(k);
  top_k_ref({.values = values, .indices = wanted, .selected = wanted_values, .workspace = {}});
  const auto n = static_cast<std::uint32_t>(values.size());
  alignas(128) static std::byte memory[1 << 16];
  ASSERT_LE(top_k_parts(nullptr, n).bytes, sizeof(memory));
  for_each_order([&](const emulated_launch& launch) {
    std::fill(std::begin(memory), std::end(memory), std::byte{0xA5});
    std::vector<std::uint32_t> indices(k, 0xFFFFFFFFU);
    std::vector<float> selected(k, NAN);
    device::top_k_view view{};
    view.values = values.data();
    view.indices = indices.data();
    view.selected = selected.data();
    view.n = n;
    view.k = k;
    launch_top_k(view, top_k_parts(memory, n), launch);
    ASSERT_TRUE(same_bits(std::span(indices), std::span(wanted)));
    ASSERT_TRUE(same_bits(std::span(selected), std::span(wanted_values)));
  });
}

std::vector<float> drawn(std::size_t n, std::uint64_t different) {
  random_stream random(test_seed() + n);
  std::vector<float> values(n);
  for (float& value : values) {
    value = different == 0 ? next_signed(random)
                           : static_cast<float>(random.next_below(different)) - 2.0F;
  }
  return values;
}

TEST(TopKKernel, SelectsAsTheReferenceForEverySize) {
  for (const std::uint32_t n : {1U, 257U, 4'097U, 9'000U}) {
    for (const std::uint32_t k : {n / 10, n}) {
      expect_selects_as_the_reference(drawn(n, 0), k);
    }
  }
}

/// Ties go to lower indices, also across tiles and blocks.
TEST(TopKKernel, OfEqualMagnitudesTheFirstAreSelected) {
  for (const std::uint32_t k : {100U, 4'999U}) {
    expect_selects_as_the_reference(drawn(5'000, 5), k);
    expect_selects_as_the_reference(std::vector<float>(5'000, -1.5F), k);
  }
}

TEST(TopKKernel, RanksWhatIsNotFiniteAsTheReferenceDoes) {
  std::vector<float> values = drawn(600, 0);
  random_stream random(test_seed());
  for (std::size_t i = 0; i < values.size(); i += 7) values[i] = next_hard(random, 1);
  values[3] = std::numeric_limits<float>::infinity();
  values[9] = -std::numeric_limits<float>::infinity();
  values[5] = std::numeric_limits<float>::quiet_NaN();
  for (const std::uint32_t k : {1U, 2U, 60U}) expect_selects_as_the_reference(values, k);
}

TEST(TopKKernel, DigitsPutTogetherAreTheMagnitude) {
  for (const float value : hard_floats()) {
    const std::uint32_t bits = device::magnitude_bits(value);
    std::uint32_t prefix = 0;
    for (unsigned round = 0; round < device::digit_rounds; ++round) {
      EXPECT_EQ(device::prefix_of(bits, round), prefix);
      EXPECT_LT(device::digit_of(bits, round), device::digits_in(round));
      prefix = device::with_digit(prefix, device::digit_of(bits, round), round);
    }
    EXPECT_EQ(prefix, bits);
  }
}

}  // namespace
}  // namespace headrace::kernels
