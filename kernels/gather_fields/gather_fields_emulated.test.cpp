#include "kernels/copy_columns/copy_columns_launch.hpp"
#include "kernels/gather_fields/gather_fields.hpp"
#include "kernels/gather_fields/gather_fields_launch.hpp"
#include "kernels/runtime/emulated_cases.hpp"
#include "kernels/scaled_sum/scaled_sum_launch.hpp"

#include <numeric>
#include <string>

namespace headrace::kernels {
namespace {

struct fields_case {
  fields_case(std::size_t n, std::size_t count, std::size_t columns, std::size_t distinct)
      : samples(n), fields(count), dim(columns), unique(distinct), rows(unique * (dim + 2)) {
    random_stream random(test_seed() + samples + dim);
    fill_signed<float>(rows, random);
    values.resize(samples * fields);
    fill_signed<float>(values, random);
    above.resize(samples * fields * dim);
    fill_signed<float>(above, random);
    for (std::size_t i = 0; i < samples * fields; ++i)
      inverse.push_back(static_cast<std::uint32_t>(random.next_below(unique)));
    order.resize(inverse.size());
    std::iota(order.begin(), order.end(), 0U);
    std::ranges::stable_sort(order, {}, [&](std::uint32_t place) { return inverse[place]; });
  }
  std::size_t width() const { return dim + 2; }

  std::size_t samples, fields, dim, unique;
  std::vector<float> rows, values, above;
  std::vector<std::uint32_t> inverse, order;
};

void expect_bits_of_the_cpu(const fields_case& one, bool weighted, const emulated_launch& launch) {
  const std::span<const float> values =
      weighted ? std::span<const float>(one.values) : std::span<const float>();
  const float* factors = weighted ? one.values.data() : nullptr;
  std::vector<float> out(one.above.size(), 9.0F), wanted_out = out;
  gather_fields({.rows = one.rows,
                 .width = one.width(),
                 .first_column = 1,
                 .inverse = one.inverse,
                 .values = values,
                 .out = packed_fields<float>(wanted_out, one.samples, one.fields, one.dim)});
  launch_gather_fields({.rows = one.rows.data(),
                        .inverse = one.inverse.data(),
                        .values = factors,
                        .out = out.data(),
                        .places = one.inverse.size(),
                        .width = static_cast<std::uint32_t>(one.width()),
                        .first_column = 1,
                        .dim = static_cast<std::uint32_t>(one.dim)},
                       launch);
  ASSERT_EQ(out, wanted_out);
  std::vector<float> gradients(one.rows.size(), 0.5F), wanted = gradients;
  gather_fields_backward(
      {.width = one.width(),
       .first_column = 1,
       .inverse = one.inverse,
       .values = values,
       .out_gradients = packed_fields<const float>(one.above, one.samples, one.fields, one.dim),
       .row_gradients = wanted});
  launch_gather_fields_backward({.inverse = one.inverse.data(),
                                 .order = one.order.data(),
                                 .values = factors,
                                 .out_gradients = one.above.data(),
                                 .row_gradients = gradients.data(),
                                 .places = static_cast<std::uint32_t>(one.inverse.size()),
                                 .width = static_cast<std::uint32_t>(one.width()),
                                 .first_column = 1,
                                 .dim = static_cast<std::uint32_t>(one.dim)},
                                launch);
  ASSERT_EQ(gradients, wanted);
}

TEST(GatherFieldsKernel, HasTheBitsOfTheCpu) {
  for_each_order([](const emulated_launch& launch) {
    for (const std::size_t samples : {0U, 1U, 9U, 40U}) {
      for (const std::size_t dim : {1U, 31U, 33U}) {
        SCOPED_TRACE(std::to_string(samples) + " samples of " + std::to_string(dim));
        expect_bits_of_the_cpu({samples, 3, dim, 5}, samples != 9, launch);
      }
    }
  });
}

TEST(CopyColumnsKernel, MovesColumnsAndTouchesNothingBeside) {
  for_each_order([](const emulated_launch& launch) {
    std::vector<float> from(7 * 300), to(9 * 300, -1.0F);
    std::iota(from.begin(), from.end(), 0.0F);
    launch_copy_columns({.from = from.data() + 2,
                         .to = to.data() + 1,
                         .from_stride = 7,
                         .to_stride = 9,
                         .rows = 300,
                         .columns = 5},
                        launch);
    for (std::size_t i = 0; i < to.size(); ++i) {
      const std::size_t c = i % 9;
      const float wanted = c >= 1 && c < 6 ? from[i / 9 * 7 + c + 1] : -1.0F;
      ASSERT_EQ(to[i], wanted) << i;
    }
  });
}

TEST(ScaledSumKernel, ScalesAndAddsRoundingEachOnce) {
  random_stream random(test_seed());
  std::vector<float> from(1000), before(1000);
  fill_signed<float>(from, random);
  fill_signed<float>(before, random);
  for (const bool add : {false, true}) {
    std::vector<float> to = before;
    launch_scaled_sum({from.data(), to.data(), to.size(), 0.3F, add}, emulated_launch{test_seed()});
    for (std::size_t i = 0; i < to.size(); ++i) {
      const float scaled = 0.3F * from[i];
      ASSERT_EQ(to[i], add ? before[i] + scaled : scaled) << i;
    }
  }
}

}  // namespace
}  // namespace headrace::kernels
