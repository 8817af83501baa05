#include "kernels/fm/fm.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;

struct fm_shape {
  std::size_t samples = 1;
  std::size_t features = 1;
  std::size_t latent_dim = 1;
  bool valued = false;
  float scale = 1.0F;
};

/// A batch over few rows, so that a row occurs often and twice in a sample; all buffers misaligned.
struct fm_case {
  fm_case(const fm_shape& s, std::uint64_t seed)
      : shape(s),
        width(1 + s.latent_dim),
        rows(rows_n * width),
        before(rows_n * width),
        values(s.valued ? s.samples * s.features : 0),
        logit_gradients(s.samples),
        sums(s.samples * s.latent_dim) {
    random_stream random(seed);
    for (float& value : rows.span())
      value = random.next_below(9) == 0 ? 0.0F : next_signed(random, s.scale);
    for (float& value : before.span()) value = next_signed(random);
    for (float& value : values.span())
      value = random.next_below(5) == 0 ? -0.0F : next_signed(random, 3.0F);
    for (float& value : logit_gradients.span()) value = next_signed(random);
    for (std::size_t i = 0; i < s.samples * s.features; ++i) {
      inverse.push_back(static_cast<std::uint32_t>(random.next_below(rows_n)));
    }
    bias = next_signed(random);
    forward(fm_forward_ref);
  }

  /// Logits, with `sums` filled.
  template <class Forward>
  misaligned<float> forward(const Forward& op) {
    misaligned<float> logits(shape.samples, 9.0F);
    op({.rows = rows.span(),
        .inverse = inverse,
        .values = values.span(),
        .features = shape.features,
        .latent_dim = shape.latent_dim,
        .bias = bias,
        .logits = logits.span(),
        .sums = sums.span()});
    return logits;
  }

  /// Row gradients, then the bias's.
  template <class Backward>
  misaligned<float> backward(const Backward& op) const {
    misaligned<float> gradients = before;
    const float bias_gradient = op({.rows = rows.span(),
                                    .inverse = inverse,
                                    .values = values.span(),
                                    .features = shape.features,
                                    .latent_dim = shape.latent_dim,
                                    .sums = sums.span(),
                                    .logit_gradients = logit_gradients.span(),
                                    .row_gradients = gradients.span()});
    misaligned<float> all(gradients.span().size() + 1);
    std::copy(gradients.span().begin(), gradients.span().end(), all.span().begin());
    all.span().back() = bias_gradient;
    return all;
  }

  double x(std::size_t i) const {
    return shape.valued ? static_cast<double>(values.span()[i]) : 1.0;
  }
  std::size_t cell(std::size_t i, std::size_t column) const { return inverse[i] * width + column; }

  static constexpr std::size_t rows_n = 7;
  fm_shape shape;
  std::size_t width;
  misaligned<float> rows;
  misaligned<float> before;
  misaligned<float> values;
  misaligned<float> logit_gradients;
  misaligned<float> sums;
  std::vector<std::uint32_t> inverse;
  float bias = 0.0F;
};

std::string describe(const fm_shape& s) {
  return std::to_string(s.samples) + " samples, " + std::to_string(s.features) +
         " features, latent " + std::to_string(s.latent_dim) + (s.valued ? ", valued" : "") +
         ", scale " + std::to_string(s.scale);
}

template <class Check>
void for_each_case(const Check& check) {
  for (const std::size_t samples : {0U, 1U, 6U}) {
    for (const std::size_t features : {0U, 1U, 2U, 5U, 39U}) {
      for (const std::size_t latent : {0U, 1U, 3U, 4U, 5U, 15U, 16U, 17U, 63U, 64U, 65U, 130U}) {
        const bool valued = (features + latent) % 2 == 0;
        const float scale = latent % 3 == 0 ? 1e6F : 0.1F;
        const fm_shape shape = {samples, features, latent, valued, scale};
        SCOPED_TRACE(describe(shape));
        fm_case one(shape, test_seed() + features * 1000 + latent);
        check(one);
      }
    }
  }
}

/// The maths in double: `rows` as doubles, so that a difference can be taken.
double exact_logit(const fm_case& one, const std::vector<double>& rows, std::size_t sample) {
  const std::size_t begin = sample * one.shape.features;
  double logit = static_cast<double>(one.bias);
  for (std::size_t k = 0; k < one.width; ++k) {
    double sum = 0.0;
    double squares = 0.0;
    for (std::size_t i = begin; i < begin + one.shape.features; ++i) {
      const double term = rows[one.cell(i, k)] * one.x(i);
      sum += term;
      squares += term * term;
    }
    logit += k == 0 ? sum : 0.5 * (sum * sum - squares);
  }
  return logit;
}

/// Σ_f |column k of the row * x| of one sample.
double magnitude(const fm_case& one, std::size_t sample, std::size_t k) {
  const std::size_t begin = sample * one.shape.features;
  double sum = 0.0;
  for (std::size_t i = begin; i < begin + one.shape.features; ++i) {
    sum += std::abs(static_cast<double>(one.rows.span()[one.cell(i, k)]) * one.x(i));
  }
  return sum;
}

double logit_bound(const fm_case& one, std::size_t sample) {
  double terms = std::abs(static_cast<double>(one.bias)) + magnitude(one, sample, 0);
  for (std::size_t k = 1; k < one.width; ++k) terms += 0.5 * std::pow(magnitude(one, sample, k), 2);
  const double steps = static_cast<double>(2 * one.shape.features + one.shape.latent_dim + 8);
  return steps * 2.0 * unit_roundoff * terms;
}

TEST(FmForward, StaysWithinItsBoundOfTheExactLogit) {
  for_each_cpu_target([] {
    for_each_case([](fm_case& one) {
      const std::vector<double> rows(one.rows.span().begin(), one.rows.span().end());
      misaligned<float> reference = one.forward(fm_forward_ref);
      misaligned<float> logits = one.forward(fm_forward_cpu);
      for (std::size_t s = 0; s < one.shape.samples; ++s) {
        const double exact = exact_logit(one, rows, s);
        ASSERT_LE(std::abs(static_cast<double>(logits.span()[s]) - exact), logit_bound(one, s))
            << "sample " << s;
        ASSERT_LE(std::abs(static_cast<double>(reference.span()[s]) - exact), logit_bound(one, s));
      }
    });
  });
}

TEST(FmForward, LeavesTheSumsThatBackwardNeeds) {
  for_each_cpu_target([] {
    for_each_case([](fm_case& one) {
      one.forward(fm_forward_cpu);
      for (std::size_t s = 0; s < one.shape.samples; ++s) {
        for (std::size_t k = 0; k < one.shape.latent_dim; ++k) {
          double exact = 0.0;
          for (std::size_t i = s * one.shape.features; i < (s + 1) * one.shape.features; ++i) {
            exact += static_cast<double>(one.rows.span()[one.cell(i, k + 1)]) * one.x(i);
          }
          const double steps = static_cast<double>(one.shape.features + 1);
          ASSERT_LE(
              std::abs(static_cast<double>(one.sums.span()[s * one.shape.latent_dim + k]) - exact),
              steps * unit_roundoff * magnitude(one, s, k + 1))
              << "sample " << s << ", latent " << k;
        }
      }
    });
  });
}

/// Exact gradient on the inputs of backward, and how far a version may be from it.
struct exact_gradients {
  explicit exact_gradients(const fm_case& one) {
    const std::size_t n = one.before.span().size();
    std::vector<double> terms(n);
    std::vector<double> occurrences(n);
    for (std::size_t i = 0; i < n; ++i) {
      values.push_back(static_cast<double>(one.before.span()[i]));
      terms[i] = std::abs(values[i]);
    }
    for (std::size_t i = 0; i < one.inverse.size(); ++i) {
      const std::size_t s = i / one.shape.features;
      const double gx = static_cast<double>(one.logit_gradients.span()[s]) * one.x(i);
      for (std::size_t k = 0; k < one.width; ++k) {
        const std::size_t at = one.cell(i, k);
        const double sum =
            k == 0 ? 1.0 : static_cast<double>(one.sums.span()[s * one.shape.latent_dim + k - 1]);
        const double own = k == 0 ? 0.0 : static_cast<double>(one.rows.span()[at]) * one.x(i);
        values[at] += gx * (sum - own);
        terms[at] += std::abs(gx) * (std::abs(sum) + std::abs(own));
        occurrences[at] += 1.0;
      }
    }
    for (std::size_t i = 0; i < n; ++i)
      bounds.push_back((occurrences[i] + 5.0) * unit_roundoff * terms[i]);
  }
  std::vector<double> values;
  std::vector<double> bounds;
};

TEST(FmBackward, StaysWithinItsBoundOfTheExactGradient) {
  for_each_cpu_target([] {
    for_each_case([](fm_case& one) {
      const exact_gradients exact(one);
      misaligned<float> got = one.backward(fm_backward_cpu);
      misaligned<float> reference = one.backward(fm_backward_ref);
      for (std::size_t i = 0; i < exact.values.size(); ++i) {
        ASSERT_LE(std::abs(static_cast<double>(got.span()[i]) - exact.values[i]), exact.bounds[i])
            << "at " << i;
        ASSERT_LE(std::abs(static_cast<double>(reference.span()[i]) - exact.values[i]),
                  exact.bounds[i]);
      }
      ASSERT_EQ(got.span().back(), reference.span().back());  // the bias: the same double sum
    });
  });
}

TEST(Fm, GivesTheSameBitsOnEveryTargetForwardAndBackward) {
  in_both_float_modes([] {
    for_each_case([](fm_case& one) {
      misaligned<float> wanted = on_plain_code([&one] { return one.forward(fm_forward_cpu); });
      misaligned<float> wanted_sums = one.sums;
      misaligned<float> wanted_gradients =
          on_plain_code([&one] { return one.backward(fm_backward_cpu); });
      for_each_cpu_target([&] {
        misaligned<float> logits = one.forward(fm_forward_cpu);
        ASSERT_TRUE(same_bits(logits.span(), wanted.span()));
        ASSERT_TRUE(same_bits(one.sums.span(), wanted_sums.span()));
        ASSERT_TRUE(same_bits(one.backward(fm_backward_cpu).span(), wanted_gradients.span()));
      });
    });
  });
}

/// logits are of second degree in each row value, so central differences are exact in exact
/// arithmetic; 1e-9 covers double's rounding of sums of a few hundred. `sums` carry forward's
/// error, |g x| times each.
TEST(FmBackward, EqualsCentralDifferencesOfTheReferenceMaths) {
  fm_case one({.samples = 6, .features = 5, .latent_dim = 9, .valued = true}, test_seed());
  std::fill(one.before.span().begin(), one.before.span().end(), 0.0F);
  std::vector<double> rows(one.rows.span().begin(), one.rows.span().end());
  const auto loss = [&one, &rows] {
    double sum = 0.0;
    for (std::size_t s = 0; s < one.shape.samples; ++s) {
      sum += static_cast<double>(one.logit_gradients.span()[s]) * exact_logit(one, rows, s);
    }
    return sum;
  };
  for_each_cpu_target([&] {
    one.forward(fm_forward_cpu);
    const exact_gradients exact(one);
    const misaligned<float> got = one.backward(fm_backward_cpu);
    std::vector<double> sums_error(rows.size());
    for (std::size_t i = 0; i < one.inverse.size(); ++i) {
      const std::size_t s = i / one.shape.features;
      const double gx = static_cast<double>(one.logit_gradients.span()[s]) * one.x(i);
      for (std::size_t k = 1; k < one.width; ++k) {
        sums_error[one.cell(i, k)] += std::abs(gx) * 6.0 * unit_roundoff * magnitude(one, s, k);
      }
    }
    for (std::size_t i = 0; i < rows.size(); ++i) {
      constexpr double step = 0x1p-4;
      const double value = rows[i];
      rows[i] = value + step;
      const double above = loss();
      rows[i] = value - step;
      const double below = loss();
      rows[i] = value;
      ASSERT_NEAR(static_cast<double>(got.span()[i]),
                  (above - below) / (2.0 * step),
                  exact.bounds[i] + sums_error[i] + 1e-9)
          << "at " << i;
    }
  });
}

TEST(FmForward, ComputesASmallCaseByHand) {
  const std::array<float, 6> rows = {0.5F, 2.0F, 1.0F, -1.0F, 3.0F, 4.0F};
  const std::array<std::uint32_t, 2> inverse = {0, 1};
  const std::array<float, 2> values = {1.0F, 2.0F};
  for_each_cpu_target([&] {
    std::array<float, 1> logits{};
    std::array<float, 2> sums{};
    fm_forward_cpu({.rows = rows,
                    .inverse = inverse,
                    .values = values,
                    .features = 2,
                    .latent_dim = 2,
                    .bias = 0.25F,
                    .logits = logits,
                    .sums = sums});
    EXPECT_EQ(sums, (std::array{8.0F, 9.0F}));
    EXPECT_EQ(logits[0], 0.25F + 0.5F - 2.0F + 12.0F + 8.0F);  // <v0, 2 v1> = 2*6 + 1*8
  });
}

TEST(Fm, RefusesRowGradientsOfTheWrongSize) {
  fm_case one({.samples = 2, .features = 3, .latent_dim = 4}, test_seed());
  one.before = misaligned<float>(3);
  EXPECT_DEATH(one.backward(fm_backward_cpu), "row_gradients");
}

}  // namespace
}  // namespace headrace::kernels
