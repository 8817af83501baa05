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

std::vector<float> pulled_by_kernel(const fields_case& one,
                                    const float* factors,
                                    const emulated_launch& launch) {
  std::vector<float> out(one.above.size(), 9.0F);
  launch_gather_fields({.rows = one.rows.data(),
                        .inverse = one.inverse.data(),
                        .values = factors,
                        .out = out.data(),
                        .places = one.inverse.size(),
                        .width = static_cast<std::uint32_t>(one.width()),
                        .first_column = 1,
                        .dim = static_cast<std::uint32_t>(one.dim)},
                       launch);
  return out;
}

std::vector<float> gradients_by_kernel(const fields_case& one,
                                       const float* factors,
                                       const emulated_launch& launch) {
  std::vector<float> gradients(one.rows.size(), 0.5F);
  std::vector<float> partials(gather_fields_partials(one.inverse.size(), one.dim), std::nanf(""));
  launch_gather_fields_backward({.inverse = one.inverse.data(),
                                 .order = one.order.data(),
                                 .values = factors,
                                 .out_gradients = one.above.data(),
                                 .row_gradients = gradients.data(),
                                 .partials = partials.data(),
                                 .places = static_cast<std::uint32_t>(one.inverse.size()),
                                 .width = static_cast<std::uint32_t>(one.width()),
                                 .first_column = 1,
                                 .dim = static_cast<std::uint32_t>(one.dim)},
                                launch);
  return gradients;
}

std::span<const float> values_of(const fields_case& one, bool weighted) {
  return weighted ? std::span<const float>(one.values) : std::span<const float>();
}

template <class Backward>
std::vector<float> gradients_by(const fields_case& one, bool weighted, const Backward& backward) {
  std::vector<float> gradients(one.rows.size(), 0.5F);
  backward(
      {.width = one.width(),
       .first_column = 1,
       .inverse = one.inverse,
       .values = values_of(one, weighted),
       .out_gradients = packed_fields<const float>(one.above, one.samples, one.fields, one.dim),
       .row_gradients = gradients});
  return gradients;
}

void expect_bits_of_the_cpu(const fields_case& one, bool weighted, const emulated_launch& launch) {
  const float* factors = weighted ? one.values.data() : nullptr;
  std::vector<float> wanted(one.above.size());
  gather_fields({.rows = one.rows,
                 .width = one.width(),
                 .first_column = 1,
                 .inverse = one.inverse,
                 .values = values_of(one, weighted),
                 .out = packed_fields<float>(wanted, one.samples, one.fields, one.dim)});
  ASSERT_EQ(pulled_by_kernel(one, factors, launch), wanted);
  ASSERT_EQ(gradients_by_kernel(one, factors, launch),
            gradients_by(one, weighted, gather_fields_backward_cpu));
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

/// Lengths of rows that begin and end at, before and behind the edge of a tile, in order.
void set_lengths(fields_case& one, const std::vector<std::size_t>& lengths) {
  std::vector<std::uint32_t> rows;
  for (std::size_t row = 0; row < lengths.size(); ++row)
    rows.insert(rows.end(), lengths[row], static_cast<std::uint32_t>(row));
  ASSERT_EQ(rows.size(), one.inverse.size());
  for (std::size_t i = 0; i < rows.size(); ++i) one.inverse[i] = rows[i * 77 % rows.size()];
  std::iota(one.order.begin(), one.order.end(), 0U);
  std::ranges::stable_sort(one.order, {}, [&](std::uint32_t at) { return one.inverse[at]; });
}

/// The bound of gather_fields.hpp; the same bits whatever the order of blocks, and the CPU's for
/// rows of fewer than 64 places.
void expect_rows_of_many(const std::vector<std::size_t>& lengths, std::size_t dim, bool weighted) {
  const std::size_t places = std::accumulate(lengths.begin(), lengths.end(), std::size_t{0});
  fields_case one(places, 1, dim, lengths.size());
  set_lengths(one, lengths);
  const std::vector<float> exact =
      gradients_by(one, weighted, [](const gather_fields_backward_args& args) {
        gather_fields_backward_ref(args);
      });
  const std::vector<float> cpu = gradients_by(one, weighted, gather_fields_backward_cpu);
  std::vector<double> terms(exact.size(), 0.5);
  for (std::size_t i = 0; i < one.above.size(); ++i) {
    const std::size_t place = i / dim;
    terms[one.inverse[place] * one.width() + 1 + i % dim] +=
        std::abs(static_cast<double>(one.above[i]) *
                 (weighted ? static_cast<double>(one.values[place]) : 1.0));
  }
  std::vector<float> first;
  for_each_order([&](const emulated_launch& launch) {
    const std::vector<float> got =
        gradients_by_kernel(one, weighted ? one.values.data() : nullptr, launch);
    if (first.empty()) first = got;
    ASSERT_EQ(got, first);
  });
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const std::size_t length = lengths[i / one.width()];
    const double bound = static_cast<double>(length + 2) * 0x1p-24 * terms[i];
    ASSERT_NEAR(first[i], static_cast<double>(exact[i]), bound) << i;
    if (length < 64) {
      ASSERT_EQ(first[i], cpu[i]) << i;
    }
  }
}

TEST(GatherFieldsKernel, SumsRowsOfManyPlacesInTiles) {
  expect_rows_of_many({64}, 3, true);
  expect_rows_of_many({1, 64, 63, 64}, 1, true);
  expect_rows_of_many({63, 1, 128, 5, 200}, 33, false);
  expect_rows_of_many({10, 700, 63, 2'200, 64, 1}, 2, true);
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
