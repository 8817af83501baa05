#include "kernels/pairwise/pairwise.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;
constexpr float untouched = 77.0F;

struct pairwise_shape {
  std::size_t samples = 1;
  std::size_t fields = 1;
  std::size_t dim = 1;
  std::size_t gap = 0;  // before each field
  pairwise_output output = pairwise_output::per_sample;
  float scale = 1.0F;

  std::size_t out_size() const {
    return output == pairwise_output::per_column ? samples * dim : samples;
  }
};

std::string describe(const pairwise_shape& s) {
  return std::to_string(s.samples) + " samples, " + std::to_string(s.fields) + " fields, dim " +
         std::to_string(s.dim) + ", gap " + std::to_string(s.gap) +
         (s.output == pairwise_output::per_column ? ", per column" : "") + ", scale " +
         std::to_string(s.scale);
}

/// A batch with columns before each field; all buffers misaligned.
struct pairwise_case {
  pairwise_case(const pairwise_shape& s, std::uint64_t seed)
      : shape(s),
        values(s.samples * s.fields * (s.gap + s.dim), untouched),
        out_gradients(s.out_size()),
        sums(s.samples * s.dim) {
    random_stream random(seed);
    for (float& value : values.span())
      value = random.next_below(9) == 0 ? 0.0F : next_signed(random, s.scale);
    for (float& value : out_gradients.span()) value = next_signed(random);
    forward(pairwise_ref);
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

  /// The output, with `sums` filled.
  misaligned<float> forward(void (*op)(const pairwise_args&)) {
    misaligned<float> out(shape.out_size(), std::nanf(""));
    std::fill(sums.span().begin(), sums.span().end(), std::nanf(""));
    op({.fields = fields(), .output = shape.output, .out = out.span(), .sums = sums.span()});
    return out;
  }

  misaligned<float> backward(void (*op)(const pairwise_backward_args&)) const {
    misaligned<float> gradients(values.span().size(), untouched);
    op({.fields = fields(),
        .output = shape.output,
        .sums = sums.span(),
        .out_gradients = out_gradients.span(),
        .field_gradients = view(gradients.span())});
    return gradients;
  }

  /// Σ_f |v_fk|.
  double magnitude(std::size_t sample, std::size_t k) const {
    double sum = 0.0;
    for (std::size_t f = 0; f < shape.fields; ++f)
      sum += std::abs(static_cast<double>(fields().at(sample, f)[k]));
    return sum;
  }

  pairwise_shape shape;
  misaligned<float> values;
  misaligned<float> out_gradients;
  misaligned<float> sums;
};

template <class Check>
void for_each_case(const Check& check) {
  for (const std::size_t samples : {0U, 1U, 6U}) {
    for (const std::size_t fields : {0U, 1U, 2U, 3U, 4U, 5U, 7U, 39U}) {
      for (const std::size_t dim : {0U, 1U, 3U, 4U, 5U, 8U, 15U, 16U, 17U, 64U, 65U, 130U}) {
        for (const auto output : {pairwise_output::per_sample, pairwise_output::per_column}) {
          const float scale = dim % 3 == 0 ? 1e6F : 0.1F;
          const pairwise_shape shape = {samples, fields, dim, (fields + dim) % 3, output, scale};
          SCOPED_TRACE(describe(shape));
          pairwise_case one(shape, test_seed() + fields * 1000 + dim);
          check(one);
        }
      }
    }
  }
}

struct exact_result {
  std::vector<double> out;
  std::vector<double> sums;
};

/// Pair by pair, not by the identity that the op uses.
exact_result exact_forward(const pairwise_case& one) {
  const auto& s = one.shape;
  exact_result exact = {std::vector<double>(s.out_size()), std::vector<double>(s.samples * s.dim)};
  for (std::size_t i = 0; i < s.samples; ++i) {
    for (std::size_t k = 0; k < s.dim; ++k) {
      double& sum = exact.sums[i * s.dim + k];
      double& out = exact.out[s.output == pairwise_output::per_column ? i * s.dim + k : i];
      for (std::size_t f = 0; f < s.fields; ++f) {
        const double v = static_cast<double>(one.fields().at(i, f)[k]);
        out += v * sum;
        sum += v;
      }
    }
  }
  return exact;
}

double out_bound(const pairwise_case& one, std::size_t at) {
  const auto& s = one.shape;
  const double fields = static_cast<double>(s.fields);
  if (s.output == pairwise_output::per_column) {
    const double magnitude = one.magnitude(at / s.dim, at % s.dim);
    return (2.0 * fields + 8.0) * 2.0 * unit_roundoff * 0.5 * magnitude * magnitude;
  }
  double terms = 0.0;
  for (std::size_t k = 0; k < s.dim; ++k) terms += 0.5 * std::pow(one.magnitude(at, k), 2);
  return (2.0 * fields + static_cast<double>(s.dim) + 8.0) * 2.0 * unit_roundoff * terms;
}

void expect_forward_within_bound(pairwise_case& one, void (*op)(const pairwise_args&)) {
  const exact_result exact = exact_forward(one);
  const misaligned<float> out = one.forward(op);
  for (std::size_t i = 0; i < exact.out.size(); ++i) {
    ASSERT_LE(std::abs(static_cast<double>(out.span()[i]) - exact.out[i]), out_bound(one, i))
        << "at " << i;
  }
  const double steps = static_cast<double>(one.shape.fields + 1);
  for (std::size_t i = 0; i < exact.sums.size(); ++i) {
    ASSERT_LE(std::abs(static_cast<double>(one.sums.span()[i]) - exact.sums[i]),
              steps * unit_roundoff * one.magnitude(i / one.shape.dim, i % one.shape.dim))
        << "sum " << i;
  }
}

TEST(Pairwise, StaysWithinItsBoundOfTheSumOverPairs) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for_each_case([](pairwise_case& one) { expect_forward_within_bound(one, pairwise_cpu); });
    });
    for_each_case([](pairwise_case& one) { expect_forward_within_bound(one, pairwise_ref); });
  });
}

void expect_backward_within_bound(const pairwise_case& one, const misaligned<float>& got) {
  const auto& s = one.shape;
  const auto vectors = one.view(got.span());
  for (std::size_t i = 0; i < s.samples; ++i) {
    for (std::size_t f = 0; f < s.fields; ++f) {
      for (std::size_t k = 0; k < s.dim; ++k) {
        const std::size_t at = s.output == pairwise_output::per_column ? i * s.dim + k : i;
        const double exact = static_cast<double>(one.out_gradients.span()[at]) *
                             (static_cast<double>(one.sums.span()[i * s.dim + k]) -
                              static_cast<double>(one.fields().at(i, f)[k]));
        ASSERT_LE(std::abs(static_cast<double>(vectors.at(i, f)[k]) - exact),
                  2.0 * unit_roundoff * std::abs(exact) * (1.0 + unit_roundoff))
            << "sample " << i << ", field " << f << ", column " << k;
      }
    }
  }
}

TEST(PairwiseBackward, StaysWithinItsBoundAndTouchesNothingBetween) {
  for_each_cpu_target([] {
    for_each_case([](pairwise_case& one) {
      const misaligned<float> got = one.backward(pairwise_backward_cpu);
      expect_backward_within_bound(one, got);
      expect_backward_within_bound(one, one.backward(pairwise_backward_ref));
      for (std::size_t i = 0; i < got.span().size(); ++i) {
        if (i % (one.shape.gap + one.shape.dim) < one.shape.gap) {
          ASSERT_EQ(got.span()[i], untouched);
        }
      }
    });
  });
}

TEST(Pairwise, GivesTheSameBitsTwiceAndBackwardOnEveryTarget) {
  for_each_case([](pairwise_case& one) {
    misaligned<float> wanted =
        on_plain_code([&one] { return one.backward(pairwise_backward_cpu); });
    for_each_cpu_target(
        [&] { ASSERT_TRUE(same_bits(one.backward(pairwise_backward_cpu).span(), wanted.span())); });
  });
  for_each_cpu_target([] {
    for_each_case([](pairwise_case& one) {
      misaligned<float> first = one.forward(pairwise_cpu);
      misaligned<float> first_sums = one.sums;
      ASSERT_TRUE(same_bits(first.span(), one.forward(pairwise_cpu).span()));
      ASSERT_TRUE(same_bits(one.sums.span(), first_sums.span()));
    });
  });
}

/// out is of second degree in each value, so central differences are exact but for rounding.
TEST(PairwiseBackward, ReferenceEqualsCentralDifferencesInDouble) {
  constexpr std::size_t samples = 3;
  constexpr std::size_t fields = 5;
  constexpr std::size_t dim = 4;
  for (const auto output : {pairwise_output::per_sample, pairwise_output::per_column}) {
    random_stream random(test_seed());
    const auto draw = [&random](std::size_t n) {
      std::vector<double> drawn(n);
      for (double& value : drawn) value = 2.0 * random.next_unit() - 1.0;
      return drawn;
    };
    std::vector<double> values = draw(samples * fields * dim);
    const std::size_t outputs = output == pairwise_output::per_column ? samples * dim : samples;
    const std::vector<double> out_gradients = draw(outputs);
    std::vector<double> sums(samples * dim);
    const auto loss = [&] {
      std::vector<double> out(outputs);
      pairwise_ref(basic_pairwise_args<double>{
          .fields = packed_fields<const double>(values, samples, fields, dim),
          .output = output,
          .out = out,
          .sums = sums});
      double sum = 0.0;
      for (std::size_t i = 0; i < outputs; ++i) sum += out[i] * out_gradients[i];
      return sum;
    };
    loss();
    std::vector<double> gradients(values.size());
    pairwise_backward_ref(basic_pairwise_backward_args<double>{
        .fields = packed_fields<const double>(values, samples, fields, dim),
        .output = output,
        .sums = sums,
        .out_gradients = out_gradients,
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
      ASSERT_NEAR(gradients[i], difference, 1e-6 * std::max(1.0, std::abs(difference)))
          << "at " << i;
    }
  }
}

TEST(Pairwise, ComputesASmallCaseByHand) {
  const std::array<float, 6> values = {2.0F, 1.0F, 6.0F, 8.0F, -1.0F, 0.5F};
  for_each_cpu_target([&] {
    const auto fields = packed_fields<const float>(values, 1, 3, 2);
    std::array<float, 1> out{};
    std::array<float, 2> pooled{};
    std::array<float, 2> sums{};
    pairwise_cpu({.fields = fields, .out = out, .sums = sums});
    EXPECT_EQ(sums, (std::array{7.0F, 9.5F}));
    EXPECT_EQ(out[0], 16.5F);  // 12 - 2 - 6, and 8 + 0.5 + 4
    pairwise_cpu(
        {.fields = fields, .output = pairwise_output::per_column, .out = pooled, .sums = sums});
    EXPECT_EQ(pooled, (std::array{4.0F, 12.5F}));
    std::array<float, 6> gradients{};
    const std::array<float, 1> g = {2.0F};
    pairwise_backward_cpu({.fields = fields,
                           .sums = sums,
                           .out_gradients = g,
                           .field_gradients = packed_fields<float>(gradients, 1, 3, 2)});
    EXPECT_EQ(gradients, (std::array{10.0F, 17.0F, 2.0F, 3.0F, 16.0F, 18.0F}));
  });
}

TEST(Pairwise, RefusesSumsOfTheWrongSize) {
  pairwise_case one({.samples = 2, .fields = 3, .dim = 4}, test_seed());
  one.sums = misaligned<float>(7);
  EXPECT_DEATH(one.forward(pairwise_cpu), "sums");
  EXPECT_DEATH(one.backward(pairwise_backward_cpu), "sums");
}

}  // namespace
}  // namespace headrace::kernels
