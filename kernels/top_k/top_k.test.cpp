#include "kernels/top_k/top_k.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

struct selected_values {
  template <class TopK>
  selected_values(std::span<const float> values, std::size_t k, const TopK& op)
      : indices(k, 0xFFFFFFFFU), selected(k, std::numeric_limits<float>::quiet_NaN()) {
    misaligned<std::uint32_t> workspace(top_k_workspace(), 77U);
    op({.values = values,
        .indices = indices.span(),
        .selected = selected.span(),
        .workspace = workspace.span()});
  }
  misaligned<std::uint32_t> indices;
  misaligned<float> selected;
};

/// Every target.
void expect_as_reference(const misaligned<float>& values, std::size_t k) {
  SCOPED_TRACE(std::to_string(k) + " of " + std::to_string(values.span().size()));
  selected_values wanted(values.span(), k, top_k_ref);
  for_each_cpu_target([&] {
    selected_values got(values.span(), k, top_k_cpu);
    ASSERT_TRUE(same_bits(got.indices.span(), wanted.indices.span()));
    ASSERT_TRUE(same_bits(got.selected.span(), wanted.selected.span()));
  });
}

void expect_as_reference_for_some_k(const misaligned<float>& values) {
  const std::size_t n = values.span().size();
  for (const std::size_t k : {std::size_t{0}, std::size_t{1}, n / 20, n / 2, n - 1, n}) {
    if (k <= n) expect_as_reference(values, k);
  }
}

std::vector<std::size_t> test_sizes() {
  std::vector<std::size_t> sizes = test_dims();
  sizes.insert(sizes.end(), {0, 1000, 4099});
  return sizes;
}

TEST(TopK, SelectsAsTheReferenceDoesAmongHardValues) {
  in_both_float_modes([] {
    for (const std::size_t n : test_sizes()) {
      random_stream random(test_seed() + n);
      misaligned<float> values(n);
      for (float& value : values.span()) value = next_hard(random);
      expect_as_reference_for_some_k(values);
    }
  });
}

/// A few magnitudes only, so that most of what is selected is decided by index.
TEST(TopK, GivesTiesToTheLowerIndex) {
  for (const std::size_t n : test_sizes()) {
    random_stream random(test_seed() + n);
    misaligned<float> values(n);
    for (float& value : values.span()) {
      value = static_cast<float>(random.next_below(3)) * (random.next_below(2) == 0 ? 1.0F : -1.0F);
    }
    expect_as_reference_for_some_k(values);
  }
}

/// Magnitudes that differ in their lowest bits only.
TEST(TopK, TellsNeighboursApart) {
  random_stream random(test_seed());
  misaligned<float> values(3000);
  for (float& value : values.span()) {
    value = 1.0F + 0x1p-23F * static_cast<float>(random.next_below(5000));
  }
  expect_as_reference_for_some_k(values);
}

/// From 65,536 values on a sample says where to begin. Sorted and blocked values make it wrong in
/// either direction: too high, and all is counted again.
TEST(TopK, IsExactHoweverTheSampleMisleads) {
  constexpr std::size_t n = (1 << 17) + 3;
  random_stream random(test_seed());
  misaligned<float> uniform(n);
  for (float& value : uniform.span()) value = next_signed(random);
  misaligned<float> misses_all = uniform;
  misaligned<float> sees_all = uniform;
  for (std::size_t i = 0; i < n; ++i) {
    const bool sampled = i % 1024 < 16;
    if (!sampled) sees_all.span()[i] *= 1e-3F;
    if (!sampled) misses_all.span()[i] *= 1e3F;
  }
  for (const misaligned<float>& values : {uniform, misses_all, sees_all}) {
    for (const std::size_t k : {std::size_t{100}, n / 20, n / 3}) expect_as_reference(values, k);
  }
}

TEST(TopK, RanksInfinitiesAboveFiniteValuesAndNansAboveThose) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  misaligned<float> values(20, 3e38F);
  values.span()[3] = -infinity;
  values.span()[17] = nan;
  for_each_cpu_target([&values] {
    selected_values one(values.span(), 1, top_k_cpu);
    EXPECT_EQ(one.indices.span()[0], 17U);
    selected_values three(values.span(), 3, top_k_cpu);
    EXPECT_EQ(three.indices.span()[0], 0U);
    EXPECT_EQ(three.indices.span()[1], 3U);
  });
}

/// The buffer behind the outputs must not be written: packing works in whole vectors.
TEST(TopK, WritesNothingBehindItsOutputs) {
  for_each_cpu_target([] {
    random_stream random(test_seed());
    std::vector<float> values(500);
    for (float& value : values) value = next_signed(random);
    for (std::size_t k = 0; k < 40; ++k) {
      std::array<std::uint32_t, 64> indices{};
      std::array<float, 64> selected{};
      std::vector<std::uint32_t> workspace(top_k_workspace());
      top_k_cpu({.values = values,
                 .indices = std::span(indices).first(k),
                 .selected = std::span(selected).first(k),
                 .workspace = workspace});
      for (std::size_t i = k; i < 64; ++i) ASSERT_EQ(indices[i], 0U) << "k " << k;
      for (std::size_t i = k; i < 64; ++i) ASSERT_EQ(selected[i], 0.0F) << "k " << k;
    }
  });
}

TEST(TopK, RefusesToSelectMoreThanThereIs) {
  const misaligned<float> values(3);
  EXPECT_DEATH(selected_values(values.span(), 4, top_k_cpu), "indices");
}

}  // namespace
}  // namespace headrace::kernels
