#include "kernels/gather_fields/gather_fields.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;
constexpr float untouched = 77.0F;

struct gather_shape {
  std::size_t samples = 1;
  std::size_t fields = 1;
  std::size_t dim = 1;
  std::size_t first_column = 0;
  std::size_t columns_after = 0;
  std::size_t gap = 0;  // between fields; twice that between samples
  bool valued = false;
};

std::string describe(const gather_shape& s) {
  return std::to_string(s.samples) + " samples, " + std::to_string(s.fields) + " fields, dim " +
         std::to_string(s.dim) + ", from column " + std::to_string(s.first_column) + ", gap " +
         std::to_string(s.gap) + (s.valued ? ", valued" : "");
}

/// A batch over few rows, so that a row occurs often and twice in a sample; all buffers misaligned.
struct gather_case {
  gather_case(const gather_shape& s, std::uint64_t seed)
      : shape(s),
        width(s.first_column + s.dim + s.columns_after + (s.dim == 0 ? 1 : 0)),
        rows(rows_n * width),
        before(rows_n * width),
        values(s.valued ? s.samples * s.fields : 0),
        out_gradients(out_size()) {
    random_stream random(seed);
    for (float& value : rows.span()) value = next_hard(random, 6);
    for (float& value : before.span()) value = next_signed(random);
    for (float& value : values.span())
      value = random.next_below(5) == 0 ? -0.0F : next_signed(random);
    for (float& value : out_gradients.span()) value = next_signed(random, 100.0F);
    for (std::size_t i = 0; i < s.samples * s.fields; ++i)
      inverse.push_back(static_cast<std::uint32_t>(random.next_below(rows_n)));
  }

  std::size_t field_stride() const { return shape.dim + shape.gap; }
  std::size_t sample_stride() const { return shape.fields * field_stride() + 2 * shape.gap; }
  std::size_t out_size() const { return shape.samples * sample_stride(); }

  template <class Value>
  field_view<Value> view(std::span<Value> buffer) const {
    return {.values = buffer,
            .sample_stride = sample_stride(),
            .field_stride = field_stride(),
            .samples = shape.samples,
            .fields = shape.fields,
            .dim = shape.dim};
  }

  misaligned<float> forward(void (*op)(const gather_fields_args&),
                            float poison = std::nanf("")) const {
    misaligned<float> out(out_size(), poison);
    op({.rows = rows.span(),
        .width = width,
        .first_column = shape.first_column,
        .inverse = inverse,
        .values = values.span(),
        .out = view(out.span())});
    return out;
  }

  misaligned<float> backward(void (*op)(const gather_fields_backward_args&)) const {
    misaligned<float> gradients = before;
    op({.width = width,
        .first_column = shape.first_column,
        .inverse = inverse,
        .values = values.span(),
        .out_gradients = view(out_gradients.span()),
        .row_gradients = gradients.span()});
    return gradients;
  }

  static constexpr std::size_t rows_n = 7;
  gather_shape shape;
  std::size_t width;
  misaligned<float> rows;
  misaligned<float> before;
  misaligned<float> values;
  misaligned<float> out_gradients;
  std::vector<std::uint32_t> inverse;
};

template <class Check>
void for_each_case(const Check& check) {
  for (const std::size_t samples : {0U, 1U, 6U}) {
    for (const std::size_t fields : {0U, 1U, 5U, 39U}) {
      for (const std::size_t dim : {0U, 1U, 3U, 4U, 7U, 8U, 9U, 16U, 17U, 64U, 65U}) {
        const gather_shape shape = {.samples = samples,
                                    .fields = fields,
                                    .dim = dim,
                                    .first_column = dim % 3,
                                    .columns_after = fields % 2,
                                    .gap = (dim + fields) % 4,
                                    .valued = (fields + dim) % 2 == 0};
        SCOPED_TRACE(describe(shape));
        check(gather_case(shape, test_seed() + fields * 1000 + dim));
      }
    }
  }
}

TEST(GatherFields, GivesTheBitsOfTheReferenceAndTouchesNothingBetween) {
  for_each_cpu_target([] {
    for_each_case([](const gather_case& one) {
      misaligned<float> wanted = one.forward(gather_fields_ref, untouched);
      misaligned<float> got = one.forward(gather_fields_cpu, untouched);
      ASSERT_TRUE(same_bits(got.span(), wanted.span()));
    });
  });
}

/// Whatever the float mode, even subnormals: copied, or flushed alike.
TEST(GatherFields, GivesTheSameBitsOnEveryTargetForwardAndBackward) {
  in_both_float_modes([] {
    for_each_case([](const gather_case& one) {
      misaligned<float> wanted = on_plain_code([&one] { return one.forward(gather_fields_cpu); });
      misaligned<float> wanted_gradients =
          on_plain_code([&one] { return one.backward(gather_fields_backward_cpu); });
      for_each_cpu_target([&] {
        ASSERT_TRUE(same_bits(one.forward(gather_fields_cpu).span(), wanted.span()));
        ASSERT_TRUE(
            same_bits(one.backward(gather_fields_backward_cpu).span(), wanted_gradients.span()));
      });
    });
  });
}

/// Exact gradients, and how far a version may be from them.
struct exact_gradients {
  explicit exact_gradients(const gather_case& one) {
    const auto before = one.before.span();
    std::vector<double> terms(before.size());
    std::vector<double> occurrences(before.size());
    for (std::size_t i = 0; i < before.size(); ++i) {
      values.push_back(static_cast<double>(before[i]));
      terms[i] = std::abs(values[i]);
    }
    const auto vectors = one.view(one.out_gradients.span());
    for (std::size_t i = 0; i < one.inverse.size(); ++i) {
      const float* from = vectors.at(i / one.shape.fields, i % one.shape.fields);
      const double x = one.shape.valued ? static_cast<double>(one.values.span()[i]) : 1.0;
      for (std::size_t k = 0; k < one.shape.dim; ++k) {
        const std::size_t at = one.inverse[i] * one.width + one.shape.first_column + k;
        values[at] += x * static_cast<double>(from[k]);
        terms[at] += std::abs(x * static_cast<double>(from[k]));
        occurrences[at] += 1.0;
      }
    }
    for (std::size_t i = 0; i < before.size(); ++i)
      bounds.push_back((occurrences[i] + 1.0) * unit_roundoff * terms[i]);
  }
  std::vector<double> values;
  std::vector<double> bounds;
};

TEST(GatherFieldsBackward, AddsWithinItsBoundAndLeavesOtherColumns) {
  for_each_cpu_target([] {
    for_each_case([](const gather_case& one) {
      const exact_gradients exact(one);
      misaligned<float> got = one.backward(gather_fields_backward_cpu);
      misaligned<float> reference = one.backward(gather_fields_backward_ref);
      for (std::size_t i = 0; i < exact.values.size(); ++i) {
        const double wanted = exact.values[i];
        ASSERT_LE(std::abs(static_cast<double>(got.span()[i]) - wanted), exact.bounds[i])
            << "at " << i;
        ASSERT_LE(std::abs(static_cast<double>(reference.span()[i]) - wanted), exact.bounds[i]);
        const std::size_t column = i % one.width;
        if (column >= one.shape.first_column && column < one.shape.first_column + one.shape.dim)
          continue;
        ASSERT_EQ(got.span()[i], one.before.span()[i]);
      }
    });
  });
}

/// The op is linear, so <out gradient, gather(rows)> differs by exactly row gradient times step.
TEST(GatherFieldsBackward, ReferenceEqualsCentralDifferencesInDouble) {
  constexpr std::size_t samples = 4;
  constexpr std::size_t fields = 5;
  constexpr std::size_t dim = 3;
  constexpr std::size_t width = 6;
  constexpr std::size_t unique = 6;
  random_stream random(test_seed());
  const auto draw = [&random](std::size_t n) {
    std::vector<double> drawn(n);
    for (double& value : drawn) value = 2.0 * random.next_unit() - 1.0;
    return drawn;
  };
  std::vector<double> rows = draw(unique * width);
  const std::vector<double> values = draw(samples * fields);
  const std::vector<double> out_gradients = draw(samples * fields * dim);
  std::vector<std::uint32_t> inverse(samples * fields);
  for (std::uint32_t& row : inverse) row = static_cast<std::uint32_t>(random.next_below(unique));
  const auto loss = [&] {
    std::vector<double> out(samples * fields * dim);
    gather_fields_ref(
        basic_gather_fields_args<double>{.rows = rows,
                                         .width = width,
                                         .first_column = 2,
                                         .inverse = inverse,
                                         .values = values,
                                         .out = packed_fields<double>(out, samples, fields, dim)});
    double sum = 0.0;
    for (std::size_t i = 0; i < out.size(); ++i) sum += out[i] * out_gradients[i];
    return sum;
  };
  std::vector<double> gradients(unique * width);
  gather_fields_backward_ref(basic_gather_fields_backward_args<double>{
      .width = width,
      .first_column = 2,
      .inverse = inverse,
      .values = values,
      .out_gradients = packed_fields<const double>(out_gradients, samples, fields, dim),
      .row_gradients = gradients});
  for (std::size_t i = 0; i < rows.size(); ++i) {
    constexpr double step = 1e-5;
    const double value = rows[i];
    rows[i] = value + step;
    const double above = loss();
    rows[i] = value - step;
    const double below = loss();
    rows[i] = value;
    const double difference = (above - below) / (2.0 * step);
    ASSERT_NEAR(gradients[i], difference, 1e-6 * std::max(1.0, std::abs(difference))) << "at " << i;
  }
}

TEST(GatherFields, ComputesASmallCaseByHand) {
  const std::array<float, 6> rows = {0.5F, 2.0F, 1.0F, -1.0F, 3.0F, 4.0F};
  const std::array<std::uint32_t, 2> inverse = {1, 0};
  const std::array<float, 2> values = {2.0F, -1.0F};
  for_each_cpu_target([&] {
    std::array<float, 5> out{};
    gather_fields_cpu({.rows = rows,
                       .width = 3,
                       .first_column = 1,
                       .inverse = inverse,
                       .values = values,
                       .out = packed_fields(std::span<float>(out).subspan(1), 1, 2, 2)});
    EXPECT_EQ(out, (std::array{0.0F, 6.0F, 8.0F, -2.0F, -1.0F}));
  });
}

TEST(GatherFields, RefusesViewsThatRunOverTheirBuffer) {
  gather_case one({.samples = 2, .fields = 3, .dim = 4, .gap = 1}, test_seed());
  std::vector<float> out(one.out_size() - 4);  // the last vector ends 3 before the end
  EXPECT_DEATH(gather_fields_cpu({.rows = one.rows.span(),
                                  .width = one.width,
                                  .inverse = one.inverse,
                                  .out = one.view(std::span<float>(out))}),
               "fits");
  EXPECT_DEATH(gather_fields_cpu({.rows = one.rows.span(),
                                  .width = one.width,
                                  .first_column = 1,
                                  .inverse = one.inverse,
                                  .out = one.view(one.out_gradients.span())}),
               "first_column");
}

}  // namespace
}  // namespace headrace::kernels
