#include "kernels/gather_rows/gather_rows.hpp"

#include "kernels/quantize_rows/quantize_rows.hpp"
#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <bit>
#include <limits>

namespace headrace::kernels {
namespace {

/// A table of misaligned rows, pointers into it in random order (twice the same is fine),
/// `absent_in` of 8 of them null.
struct gather_case {
  gather_case(std::size_t n, std::size_t row_dim, std::uint64_t absent_in_8, bool finite)
      : dim(row_dim), table((n + 3) * row_dim) {
    random_stream random(test_seed() + n * 1000 + dim);
    for (float& value : table.span()) value = next_hard(random);
    if (!finite) table.span()[0] = std::bit_cast<float>(0x7FA12345U);  // a signalling NaN
    for (std::size_t i = 0; i < n; ++i) {
      const bool absent = random.next_below(8) < absent_in_8;
      rows.push_back(absent ? nullptr : table.span().data() + random.next_below(n + 3) * dim);
      for (std::size_t c = 0; absent && c < dim; ++c) absent_values.push_back(next_hard(random));
    }
  }
  std::size_t dim;
  misaligned<float> table;
  std::vector<const float*> rows;
  std::vector<float> absent_values;
};

template <class Gather>
std::vector<float> gathered(const gather_case& one, const Gather& op) {
  misaligned<float> values(one.rows.size() * one.dim, -9.0F);
  op({.rows = one.rows,
      .absent_values = one.absent_values,
      .dim = one.dim,
      .values = values.span()});
  return {values.span().begin(), values.span().end()};
}

TEST(GatherRows, CopiesEveryBitWhateverIsAbsent) {
  for (const std::size_t n : test_counts()) {
    for (const std::size_t dim : test_dims()) {
      for (const std::uint64_t absent_in_8 : {0U, 2U, 8U}) {
        SCOPED_TRACE(std::to_string(n) + " rows of " + std::to_string(dim));
        const gather_case one(n, dim, absent_in_8, false);
        std::vector<float> wanted = gathered(one, gather_rows_ref);
        std::vector<float> got = gathered(one, gather_rows_cpu);
        ASSERT_TRUE(same_bits(std::span(got), std::span(wanted)));
      }
    }
  }
}

TEST(GatherRows, PutsAbsentValuesInTheirOrder) {
  const std::array<float, 2> present = {1.0F, 2.0F};
  const std::array<const float*, 3> rows = {nullptr, present.data(), nullptr};
  const std::array<float, 4> absent = {5.0F, 6.0F, 7.0F, 8.0F};
  for (const auto op : {gather_rows_ref, gather_rows_cpu}) {
    std::array<float, 6> values{};
    op({.rows = rows, .absent_values = absent, .dim = 2, .values = values});
    EXPECT_EQ(values, (std::array{5.0F, 6.0F, 1.0F, 2.0F, 7.0F, 8.0F}));
  }
}

TEST(GatherRowsInt8, EqualsGatherThenQuantizeOnEveryTarget) {
  for_each_cpu_target([] {
    for (const std::size_t n : test_counts()) {
      for (const std::size_t dim : test_dims()) {
        SCOPED_TRACE(std::to_string(n) + " rows of " + std::to_string(dim));
        const gather_case one(n, dim, 2, true);
        const std::vector<float> values = gathered(one, gather_rows_ref);
        misaligned<std::int8_t> codes(n * dim, std::int8_t{99});
        misaligned<std::uint16_t> scales(n, 99);
        gather_rows_int8_cpu({.rows = one.rows,
                              .absent_values = one.absent_values,
                              .dim = dim,
                              .codes = codes.span(),
                              .scales = scales.span()});
        std::vector<std::int8_t> wanted_codes(n * dim);
        std::vector<std::uint16_t> wanted_scales(n);
        quantize_rows_ref(
            {.values = values, .codes = wanted_codes, .scales = wanted_scales, .dim = dim});
        ASSERT_TRUE(same_bits(codes.span(), std::span(wanted_codes)));
        ASSERT_TRUE(same_bits(scales.span(), std::span(wanted_scales)));
        gather_rows_int8_ref({.rows = one.rows,
                              .absent_values = one.absent_values,
                              .dim = dim,
                              .codes = codes.span(),
                              .scales = scales.span()});
        ASSERT_TRUE(same_bits(codes.span(), std::span(wanted_codes)));
      }
    }
  });
}

TEST(GatherRows, RefusesTooFewAndTooManyAbsentValues) {
  const std::array<const float*, 1> rows = {nullptr};
  std::array<float, 2> values{};
  const std::array<float, 4> absent{};
  const auto gather = [&](std::size_t given) {
    gather_rows_cpu({.rows = rows,
                     .absent_values = std::span(absent).first(given),
                     .dim = 2,
                     .values = values});
  };
  EXPECT_DEATH(gather(1), "absent");
  EXPECT_DEATH(gather(4), "absent");
}

}  // namespace
}  // namespace headrace::kernels
