#include "kernels/gather_pool/gather_pool.hpp"
#include "kernels/gather_pool/gather_pool_launch.hpp"
#include "kernels/quantize_rows/quantize_rows.hpp"
#include "kernels/runtime/emulated_cases.hpp"

#include <cmath>
#include <numeric>
#include <vector>

namespace headrace::kernels {
namespace {

/// Bags of 0 to a few occurrences of `rows` rows; `favourite` gets every second one.
struct pool_case {
  pool_case(std::uint32_t bag_count, std::uint32_t row_count, std::uint32_t columns, bool weighted)
      : bags(bag_count), rows(row_count), dim(columns), random(test_seed() + 131 * bags + dim) {
    offsets.push_back(0);
    for (std::uint32_t b = 0; b < bags; ++b) {
      offsets.push_back(offsets.back() + static_cast<std::uint32_t>(random.next_below(8)));
    }
    for (std::uint32_t i = 0; i < offsets.back(); ++i) {
      const bool common = random.next_below(2) == 0;
      inverse.push_back(common ? rows / 2 : static_cast<std::uint32_t>(random.next_below(rows)));
      if (weighted) weights.push_back(next_signed(random));
    }
    values.resize(std::size_t{rows} * dim);
    for (float& value : values) value = next_hard(random, 16, 1e6F);
    out_gradients.resize(std::size_t{bags} * dim);
    for (float& value : out_gradients) value = next_signed(random);
  }
  const float* weights_or_null() const { return weights.empty() ? nullptr : weights.data(); }

  std::uint32_t bags;
  std::uint32_t rows;
  std::uint32_t dim;
  random_stream random;
  std::vector<std::uint32_t> offsets;
  std::vector<std::uint32_t> inverse;
  std::vector<float> weights;
  std::vector<float> values;
  std::vector<float> out_gradients;
};

std::vector<float> pooled_on_cpu(const pool_case& of, std::span<const float> rows) {
  std::vector<float> out(std::size_t{of.bags} * of.dim);
  gather_pool_cpu({.rows = rows,
                   .inverse = of.inverse,
                   .weights = of.weights,
                   .offsets = of.offsets,
                   .dim = of.dim,
                   .out = out});
  return out;
}

void expect_pooled(const pool_case& of,
                   value_format format,
                   const void* rows,
                   const std::uint16_t* scales,
                   std::span<const float> as_floats) {
  SCOPED_TRACE(std::to_string(of.bags) + " bags of dim " + std::to_string(of.dim) + ", format " +
               std::to_string(static_cast<int>(format)));
  std::vector<float> wanted = pooled_on_cpu(of, as_floats);
  for_each_order([&](const emulated_launch& launch) {
    std::vector<float> got(wanted.size(), NAN);
    launch_gather_pool({rows,
                        scales,
                        of.inverse.data(),
                        of.weights_or_null(),
                        of.offsets.data(),
                        got.data(),
                        of.bags,
                        of.dim,
                        false},
                       format,
                       launch);
    ASSERT_TRUE(same_bits(std::span(got), std::span(wanted)));
  });
}

TEST(GatherPoolKernel, GivesTheBitsOfTheCpuForEveryWidth) {
  for (const std::uint32_t dim : {1U, 3U, 4U, 8U, 17U, 64U, 130U, 132U}) {
    for (const std::uint32_t bags : {1U, 2U, 33U}) {
      const pool_case of(bags, 7, dim, bags != 2);
      expect_pooled(of, value_format::fp32, of.values.data(), nullptr, of.values);
    }
  }
  expect_pooled(pool_case(0, 7, 4, true), value_format::fp32, nullptr, nullptr, {});
}

/// Narrow rows are pooled as the floats that they stand for.
TEST(GatherPoolKernel, ReadsEveryFormatOfRows) {
  for (const std::uint32_t dim : {5U, 16U}) {
    const pool_case of(19, 9, dim, true);
    std::vector<std::uint16_t> words(of.values.size());
    std::vector<float> floats(of.values.size());
    for (const value_format format : {value_format::fp16, value_format::bf16}) {
      for (std::size_t i = 0; i < words.size(); ++i) {
        const bool half = format == value_format::fp16;
        words[i] = half ? half_nearest(of.values[i]) : brain_nearest(of.values[i]);
        floats[i] = half ? half_to_float(words[i]) : brain_to_float(words[i]);
      }
      expect_pooled(of, format, words.data(), nullptr, floats);
    }
    std::vector<std::int8_t> codes(of.values.size());
    std::vector<std::uint16_t> scales(of.rows);
    quantize_rows_ref({.values = of.values, .codes = codes, .scales = scales, .dim = dim});
    dequantize_rows_ref({.codes = codes, .scales = scales, .dim = dim, .values = floats});
    expect_pooled(of, value_format::int8, codes.data(), scales.data(), floats);
  }
}

void stable_sort_pairs(const std::uint32_t* keys,
                       std::uint32_t* sorted_keys,
                       const device::occurrence* values,
                       device::occurrence* sorted_values,
                       std::uint32_t n) {
  std::vector<std::uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t left, std::uint32_t right) {
    return keys[left] < keys[right];
  });
  for (std::uint32_t i = 0; i < n; ++i) {
    sorted_keys[i] = keys[order[i]];
    sorted_values[i] = values[order[i]];
  }
}

std::vector<float> gradients_before(const pool_case& of) {
  std::vector<float> before(std::size_t{of.rows} * of.dim);
  random_stream random(test_seed() + 5);
  for (float& value : before) value = next_signed(random);
  return before;
}

std::vector<float> gradients_of_kernel(const pool_case& of, const emulated_launch& launch) {
  std::vector<float> got = gradients_before(of);
  const auto n = static_cast<std::uint32_t>(of.inverse.size());
  const std::size_t bytes = pool_gradients_parts(nullptr, n, of.rows, of.dim, 0).bytes;
  alignas(128) static std::byte memory[1 << 22];
  EXPECT_LE(bytes, sizeof(memory));
  std::fill_n(memory, bytes, std::byte{0xFF});  // NaN, and positions that are nowhere
  const pool_gradients_parts parts(memory, n, of.rows, of.dim, 0);
  device::pool_gradients_view view{};
  view.inverse = of.inverse.data();
  view.weights = of.weights_or_null();
  view.offsets = of.offsets.data();
  view.out_gradients = of.out_gradients.data();
  view.row_gradients = got.data();
  view.n = n;
  view.rows = of.rows;
  view.bags = of.bags;
  view.dim = of.dim;
  launch_gather_pool_backward(view, parts, stable_sort_pairs, launch);
  return got;
}

template <class Backward>
std::vector<float> gradients_by(const pool_case& of, const Backward& backward) {
  std::vector<float> result = gradients_before(of);
  backward({.inverse = of.inverse,
            .weights = of.weights,
            .offsets = of.offsets,
            .dim = of.dim,
            .out_gradients = of.out_gradients,
            .row_gradients = result});
  return result;
}

TEST(PoolGradientsKernel, GivesTheBitsOfTheCpuForShortRows) {
  for (const std::uint32_t dim : {1U, 4U, 7U, 16U, 132U}) {
    for (const std::uint32_t bags : {0U, 1U, 40U}) {
      const pool_case of(bags, 6, dim, dim != 7);
      ASSERT_LE(of.inverse.size(), 256U);
      SCOPED_TRACE(std::to_string(bags) + " bags of dim " + std::to_string(dim));
      std::vector<float> wanted = gradients_by(of, gather_pool_backward_cpu);
      for_each_order([&](const emulated_launch& launch) {
        std::vector<float> got = gradients_of_kernel(of, launch);
        ASSERT_TRUE(same_bits(std::span(got), std::span(wanted)));
      });
    }
  }
}

/// Rows with more occurrences than a tile: within the bound of gather_pool.hpp, and the same bits
/// whatever the order of blocks.
TEST(PoolGradientsKernel, SumsLongRowsInTiles) {
  for (const std::uint32_t dim : {3U, 8U}) {
    const pool_case of(900, 5, dim, true);
    ASSERT_GT(of.inverse.size(), 2'000U);
    const std::vector<float> exact = gradients_by(of, gather_pool_backward_ref);
    std::vector<float> first;
    for_each_order([&](const emulated_launch& launch) {
      std::vector<float> got = gradients_of_kernel(of, launch);
      if (first.empty()) first = got;
      ASSERT_TRUE(same_bits(std::span(got), std::span(first)));
    });
    for (std::size_t i = 0; i < exact.size(); ++i) {
      EXPECT_NEAR(first[i], exact[i], 2'000 * 0x1p-24 * 900) << i;
    }
    EXPECT_LT(relative_error(std::span(first), std::span(exact)), 1e-6);
  }
}

TEST(PoolGradientsKernel, LeavesRowsWithoutOccurrencesAlone) {
  pool_case of(10, 50, 4, true);
  std::vector<bool> touched(of.rows);
  for (const std::uint32_t row : of.inverse) touched[row] = true;
  const std::vector<float> before = gradients_before(of);
  const std::vector<float> got = gradients_of_kernel(of, emulated_launch{test_seed()});
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (touched[i / of.dim]) continue;
    EXPECT_EQ(got[i], before[i]) << i;
  }
}

std::vector<float> weight_gradients_by_kernel(const pool_case& of,
                                              value_format format,
                                              const void* rows,
                                              const std::uint16_t* scales,
                                              const emulated_launch& launch) {
  std::vector<float> got(of.inverse.size(), NAN);
  launch_gather_pool_weights({.pool = {rows,
                                       scales,
                                       of.inverse.data(),
                                       nullptr,
                                       of.offsets.data(),
                                       nullptr,
                                       of.bags,
                                       of.dim,
                                       false},
                              .out_gradients = of.out_gradients.data(),
                              .weight_gradients = got.data(),
                              .n = static_cast<std::uint32_t>(of.inverse.size())},
                             format,
                             launch);
  return got;
}

/// The bound of gather_pool.hpp, of rows that stand for `rows`.
void expect_weight_gradients(const pool_case& of,
                             std::span<const float> rows,
                             std::span<const float> got) {
  std::vector<float> exact(of.inverse.size());
  gather_pool_weights_ref({.rows = rows,
                           .inverse = of.inverse,
                           .offsets = of.offsets,
                           .dim = of.dim,
                           .out_gradients = of.out_gradients,
                           .weight_gradients = exact});
  for (std::uint32_t b = 0; b < of.bags; ++b) {
    for (std::uint32_t i = of.offsets[b]; i < of.offsets[b + 1]; ++i) {
      double terms = 0.0;
      for (std::uint32_t c = 0; c < of.dim; ++c)
        terms += std::abs(static_cast<double>(rows[of.inverse[i] * of.dim + c]) *
                          static_cast<double>(of.out_gradients[b * of.dim + c]));
      const double bound = (of.dim + 2) * 0x1p-24 * terms + of.dim * 0x1p-149;
      ASSERT_NEAR(got[i], static_cast<double>(exact[i]), bound) << i;
    }
  }
}

TEST(WeightGradientsKernel, StaysWithinItsBoundAndItsOrder) {
  for (const std::uint32_t dim : {1U, 3U, 4U, 8U, 17U, 64U, 130U, 132U, 260U}) {
    for (const std::uint32_t bags : {0U, 1U, 33U}) {
      const pool_case of(bags, 7, dim, false);
      SCOPED_TRACE(std::to_string(bags) + " bags of dim " + std::to_string(dim));
      std::vector<float> first;
      for_each_order([&](const emulated_launch& launch) {
        std::vector<float> got =
            weight_gradients_by_kernel(of, value_format::fp32, of.values.data(), nullptr, launch);
        if (first.empty()) first = got;
        ASSERT_TRUE(same_bits(std::span(got), std::span(first)));
      });
      expect_weight_gradients(of, of.values, first);
    }
  }
}

TEST(WeightGradientsKernel, ReadsEveryFormatOfRows) {
  const pool_case of(19, 9, 12, false);
  const emulated_launch launch{test_seed()};
  std::vector<std::uint16_t> words(of.values.size());
  std::vector<float> floats(of.values.size());
  for (const value_format format : {value_format::fp16, value_format::bf16}) {
    for (std::size_t i = 0; i < words.size(); ++i) {
      const bool half = format == value_format::fp16;
      words[i] = half ? half_nearest(of.values[i]) : brain_nearest(of.values[i]);
      floats[i] = half ? half_to_float(words[i]) : brain_to_float(words[i]);
    }
    expect_weight_gradients(
        of, floats, weight_gradients_by_kernel(of, format, words.data(), nullptr, launch));
  }
  std::vector<std::int8_t> codes(of.values.size());
  std::vector<std::uint16_t> scales(of.rows);
  quantize_rows_ref({.values = of.values, .codes = codes, .scales = scales, .dim = of.dim});
  dequantize_rows_ref({.codes = codes, .scales = scales, .dim = of.dim, .values = floats});
  expect_weight_gradients(
      of,
      floats,
      weight_gradients_by_kernel(of, value_format::int8, codes.data(), scales.data(), launch));
}

}  // namespace
}  // namespace headrace::kernels
