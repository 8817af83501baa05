#include "kernels/dot_interaction/dot_interaction.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;
constexpr float untouched = 77.0F;

struct dot_shape {
  std::size_t samples = 1;
  std::size_t fields = 1;
  std::size_t dim = 1;
  std::size_t gap = 0;  // before each field, and between rows of outputs
};

std::string describe(const dot_shape& s) {
  return std::to_string(s.samples) + " samples, " + std::to_string(s.fields) + " fields, dim " +
         std::to_string(s.dim) + ", gap " + std::to_string(s.gap);
}

/// A batch whose buffers end with their last value; all misaligned.
struct dot_case {
  dot_case(const dot_shape& s, std::uint64_t seed)
      : shape(s),
        values(s.samples * s.fields * (s.gap + s.dim)),
        out_gradients(out_size()),
        workspace(dot_interaction_workspace(s.fields, s.dim), std::nanf("")) {
    random_stream random(seed);
    for (float& value : values.span())
      value = random.next_below(9) == 0 ? 0.0F : next_signed(random);
    for (float& value : out_gradients.span()) value = next_signed(random, 10.0F);
  }

  std::size_t out_stride() const { return field_pairs(shape.fields) + shape.gap; }
  std::size_t out_size() const {
    return shape.samples == 0 ? 0 : shape.samples * out_stride() - shape.gap;
  }

  template <class Value>
  field_view<Value> view(std::span<Value> buffer) const {
    return {.values = buffer.subspan(std::min(shape.gap, buffer.size())),
            .sample_stride = shape.fields * (shape.gap + shape.dim),
            .field_stride = shape.gap + shape.dim,
            .samples = shape.samples,
            .fields = shape.fields,
            .dim = shape.dim};
  }
  field_view<const float> fields() const { return view(values.span()); }

  misaligned<float> forward(void (*op)(const dot_interaction_args&)) {
    misaligned<float> out(out_size(), std::nanf(""));
    for (std::size_t i = 0; i < out.span().size(); ++i) {
      if (i % out_stride() >= field_pairs(shape.fields)) out.span()[i] = untouched;
    }
    op({.fields = fields(),
        .out = out.span(),
        .out_stride = out_stride(),
        .workspace = workspace.span()});
    return out;
  }

  misaligned<float> backward(void (*op)(const dot_interaction_backward_args&)) const {
    misaligned<float> gradients(values.span().size(), untouched);
    const field_view<float> to = view(gradients.span());
    for (std::size_t i = 0; i < shape.samples * shape.fields; ++i) {
      std::fill_n(to.at(i / shape.fields, i % shape.fields), shape.dim, std::nanf(""));
    }
    op({.fields = fields(),
        .out_gradients = out_gradients.span(),
        .out_stride = out_stride(),
        .field_gradients = to});
    return gradients;
  }

  dot_shape shape;
  misaligned<float> values;
  misaligned<float> out_gradients;
  misaligned<float> workspace;
};

template <class Check>
void for_each_case(const Check& check) {
  for (const std::size_t samples : {0U, 1U, 3U}) {
    for (const std::size_t fields :
         {0U, 1U, 2U, 3U, 4U, 5U, 6U, 9U, 16U, 17U, 18U, 27U, 33U, 64U}) {
      for (const std::size_t dim : {0U, 1U, 3U, 4U, 5U, 8U, 15U, 16U, 31U, 33U, 64U}) {
        const dot_shape shape = {samples, fields, dim, (fields + dim) % 3};
        SCOPED_TRACE(describe(shape));
        dot_case one(shape, test_seed() + fields * 1000 + dim);
        check(one);
      }
    }
  }
}

void expect_forward_within_bound(dot_case& one, void (*op)(const dot_interaction_args&)) {
  const misaligned<float> out = one.forward(op);
  const double steps = static_cast<double>(one.shape.dim + 1);
  for (std::size_t s = 0; s < one.shape.samples; ++s) {
    const float* got = out.span().data() + s * one.out_stride();
    for (std::size_t i = 1; i < one.shape.fields; ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        double exact = 0.0;
        double terms = 0.0;
        for (std::size_t k = 0; k < one.shape.dim; ++k) {
          const double term = static_cast<double>(one.fields().at(s, i)[k]) *
                              static_cast<double>(one.fields().at(s, j)[k]);
          exact += term;
          terms += std::abs(term);
        }
        ASSERT_LE(std::abs(static_cast<double>(got[i * (i - 1) / 2 + j]) - exact),
                  steps * unit_roundoff * terms)
            << "sample " << s << ", pair " << i << ", " << j;
      }
    }
  }
  for (std::size_t i = 0; i < out.span().size(); ++i) {
    if (i % one.out_stride() >= field_pairs(one.shape.fields)) {
      ASSERT_EQ(out.span()[i], untouched) << "between rows of outputs, at " << i;
    }
  }
}

TEST(DotInteraction, StaysWithinItsBoundAndTouchesNothingBetween) {
  for_each_cpu_target([] {
    for_each_case([](dot_case& one) { expect_forward_within_bound(one, dot_interaction_cpu); });
  });
  for_each_case([](dot_case& one) { expect_forward_within_bound(one, dot_interaction_ref); });
}

/// Adds to `exact` and `terms` [fields, dim] what sample s says.
void add_exact_gradients(const dot_case& one,
                         std::size_t s,
                         std::vector<double>& exact,
                         std::vector<double>& terms) {
  const std::size_t dim = one.shape.dim;
  const float* g = one.out_gradients.span().data() + s * one.out_stride();
  for (std::size_t i = 1; i < one.shape.fields; ++i) {
    for (std::size_t j = 0; j < i; ++j, ++g) {
      for (std::size_t k = 0; k < dim; ++k) {
        const double to_i = static_cast<double>(*g) * static_cast<double>(one.fields().at(s, j)[k]);
        const double to_j = static_cast<double>(*g) * static_cast<double>(one.fields().at(s, i)[k]);
        exact[i * dim + k] += to_i;
        exact[j * dim + k] += to_j;
        terms[i * dim + k] += std::abs(to_i);
        terms[j * dim + k] += std::abs(to_j);
      }
    }
  }
}

void expect_backward_within_bound(const dot_case& one,
                                  void (*op)(const dot_interaction_backward_args&)) {
  const misaligned<float> gradients = one.backward(op);
  const double steps = static_cast<double>(one.shape.fields + 1);
  for (std::size_t s = 0; s < one.shape.samples; ++s) {
    std::vector<double> exact(one.shape.fields * one.shape.dim);
    std::vector<double> terms(exact.size());
    add_exact_gradients(one, s, exact, terms);
    for (std::size_t i = 0; i < exact.size(); ++i) {
      const float got = one.view(gradients.span()).at(s, i / one.shape.dim)[i % one.shape.dim];
      ASSERT_LE(std::abs(static_cast<double>(got) - exact[i]), steps * unit_roundoff * terms[i])
          << "sample " << s << ", at " << i;
    }
  }
  for (std::size_t i = 0; i < gradients.span().size(); ++i) {
    if (i % (one.shape.gap + one.shape.dim) < one.shape.gap) {
      ASSERT_EQ(gradients.span()[i], untouched) << "between fields, at " << i;
    }
  }
}

TEST(DotInteractionBackward, StaysWithinItsBoundAndTouchesNothingBetween) {
  for_each_cpu_target([] {
    for_each_case(
        [](dot_case& one) { expect_backward_within_bound(one, dot_interaction_backward_cpu); });
  });
  for_each_case(
      [](dot_case& one) { expect_backward_within_bound(one, dot_interaction_backward_ref); });
}

TEST(DotInteraction, GivesTheSameBitsTwiceInBothFloatModes) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for (const std::size_t fields : {5U, 27U}) {
        dot_case one({.samples = 3, .fields = fields, .dim = 19, .gap = 1}, test_seed());
        expect_forward_within_bound(one, dot_interaction_cpu);
        expect_backward_within_bound(one, dot_interaction_backward_cpu);
        misaligned<float> out = one.forward(dot_interaction_cpu);
        misaligned<float> gradients = one.backward(dot_interaction_backward_cpu);
        ASSERT_TRUE(same_bits(one.forward(dot_interaction_cpu).span(), out.span()));
        ASSERT_TRUE(same_bits(one.backward(dot_interaction_backward_cpu).span(), gradients.span()));
      }
    });
  });
}

/// out is of second degree in each value, so central differences are exact but for rounding.
TEST(DotInteractionBackward, ReferenceEqualsCentralDifferencesInDouble) {
  constexpr std::size_t samples = 2;
  constexpr std::size_t fields = 5;
  constexpr std::size_t dim = 3;
  constexpr std::size_t pairs = field_pairs(fields);
  random_stream random(test_seed());
  const auto draw = [&random](std::size_t n) {
    std::vector<double> drawn(n);
    for (double& value : drawn) value = 2.0 * random.next_unit() - 1.0;
    return drawn;
  };
  std::vector<double> values = draw(samples * fields * dim);
  const std::vector<double> out_gradients = draw(samples * pairs);
  const auto loss = [&] {
    std::vector<double> out(samples * pairs);
    dot_interaction_ref(basic_dot_interaction_args<double>{
        .fields = packed_fields<const double>(values, samples, fields, dim),
        .out = out,
        .out_stride = pairs});
    double sum = 0.0;
    for (std::size_t i = 0; i < out.size(); ++i) sum += out[i] * out_gradients[i];
    return sum;
  };
  std::vector<double> gradients(values.size());
  dot_interaction_backward_ref(basic_dot_interaction_backward_args<double>{
      .fields = packed_fields<const double>(values, samples, fields, dim),
      .out_gradients = out_gradients,
      .out_stride = pairs,
      .field_gradients = packed_fields<double>(gradients, samples, fields, dim)});
  for (std::size_t i = 0; i < values.size(); ++i) {
    constexpr double step = 1e-5;
    const double value = values[i];
    values[i] = value + step;
    const double above = loss();
    values[i] = value - step;
    const double below = loss();
    values[i] = value;
    const double difference = (above - below) / (2.0 * step);
    ASSERT_NEAR(gradients[i], difference, 1e-6 * std::max(1.0, std::abs(difference))) << "at " << i;
  }
}

TEST(DotInteraction, ComputesASmallCaseByHand) {
  const std::array<float, 6> values = {1.0F, 2.0F, 3.0F, -1.0F, 0.5F, 4.0F};
  const std::array<float, 3> g = {1.0F, 10.0F, 100.0F};
  for_each_cpu_target([&] {
    std::array<float, 3> out{};
    std::vector<float> workspace(dot_interaction_workspace(3, 2));
    const auto fields = packed_fields<const float>(values, 1, 3, 2);
    dot_interaction_cpu({.fields = fields, .out = out, .out_stride = 3, .workspace = workspace});
    EXPECT_EQ(out, (std::array{1.0F, 8.5F, -2.5F}));
    std::array<float, 6> gradients{};
    dot_interaction_backward_cpu({.fields = fields,
                                  .out_gradients = g,
                                  .out_stride = 3,
                                  .field_gradients = packed_fields<float>(gradients, 1, 3, 2)});
    EXPECT_EQ(gradients, (std::array{8.0F, 39.0F, 51.0F, 402.0F, 310.0F, -80.0F}));
  });
}

TEST(DotInteraction, RefusesMoreFieldsThanItHasRoomFor) {
  dot_case one({.samples = 1, .fields = 65, .dim = 2}, test_seed());
  EXPECT_DEATH(one.forward(dot_interaction_cpu), "fields_max");
  EXPECT_DEATH(one.backward(dot_interaction_backward_cpu), "fields_max");
  dot_case small({.samples = 1, .fields = 4, .dim = 2}, test_seed());
  small.workspace = misaligned<float>(31);
  EXPECT_DEATH(small.forward(dot_interaction_cpu), "workspace");
}

}  // namespace
}  // namespace headrace::kernels
