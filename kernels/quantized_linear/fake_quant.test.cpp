#include "kernels/quantized_linear/fake_quant.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

struct fake_quant_case {
  fake_quant_case(const quantized_shape& s, std::uint64_t seed)
      : shape(s),
        weights(s.inputs * s.outputs),
        scales(scale_count(s)),
        gradients(weights.span().size()),
        before(weights.span().size()) {
    random_stream random(seed);
    for (float& value : weights.span()) value = next_signed(random);
    find_scales({.weights = weights.span(), .shape = s, .scales = scales.span()});
    for (float& value : scales.span()) value *= random.next_below(9) == 0 ? 0.0F : 0.9F;
    for (float& value : gradients.span()) value = next_signed(random);
    for (float& value : before.span()) value = next_signed(random);
  }

  template <class Op>
  misaligned<float> forward(const Op& op) const {
    misaligned<float> quantized(weights.span().size(), std::numeric_limits<float>::quiet_NaN());
    op({.weights = weights.span(),
        .shape = shape,
        .scales = scales.span(),
        .quantized = quantized.span()});
    return quantized;
  }
  template <class Op>
  misaligned<float> backward(const Op& op) const {
    misaligned<float> result = before;
    op({.weights = weights.span(),
        .shape = shape,
        .scales = scales.span(),
        .quantized_gradients = gradients.span(),
        .weight_gradients = result.span()});
    return result;
  }
  float scale(std::size_t at) const {
    return scales
        .span()[at / shape.outputs / inputs_per_scale(shape) * shape.outputs + at % shape.outputs];
  }

  quantized_shape shape;
  misaligned<float> weights;
  misaligned<float> scales;
  misaligned<float> gradients;
  misaligned<float> before;
};

template <class Check>
void for_each_case(const Check& check) {
  for (const weight_bits bits : {weight_bits::four, weight_bits::eight}) {
    for (const std::size_t inputs : {0U, 1U, 128U, 129U}) {
      for (const std::size_t outputs : {1U, 3U, 4U, 7U, 8U, 9U, 17U, 33U}) {
        SCOPED_TRACE(std::to_string(inputs) + " x " + std::to_string(outputs) +
                     (bits == weight_bits::four ? ", four bits" : ", eight bits"));
        check(fake_quant_case({inputs, outputs, bits}, test_seed() + outputs));
      }
    }
  }
}

TEST(FakeQuant, IsBitForBitWhatServingDecodes) {
  in_both_float_modes([] {
    for_each_case([](const fake_quant_case& one) {
      std::vector<std::uint32_t> codes(word_count(one.shape));
      pack_weights({.weights = one.weights.span(),
                    .shape = one.shape,
                    .scales = one.scales.span(),
                    .codes = codes});
      for_each_cpu_target([&] {
        const misaligned<float> quantized = one.forward(fake_quant_cpu);
        for (std::size_t at = 0; at < quantized.span().size(); ++at) {
          const int code =
              code_at(codes, one.shape, at / one.shape.outputs, at % one.shape.outputs);
          ASSERT_EQ(quantized.span()[at], static_cast<float>(code) * one.scale(at)) << "at " << at;
        }
      });
    });
  });
}

TEST(FakeQuant, AgreesWithTheReferenceBitForBitForwardAndBackward) {
  in_both_float_modes([] {
    for_each_case([](const fake_quant_case& one) {
      misaligned<float> wanted = one.forward(fake_quant_ref);
      misaligned<float> wanted_gradients = one.backward(fake_quant_backward_ref);
      for_each_cpu_target([&] {
        ASSERT_TRUE(same_bits(one.forward(fake_quant_cpu).span(), wanted.span()));
        ASSERT_TRUE(
            same_bits(one.backward(fake_quant_backward_cpu).span(), wanted_gradients.span()));
      });
    });
  });
}

/// What backward differentiates has no rounding: the weight, cut half a code past the largest.
double surrogate(double weight, double scale, weight_bits bits) {
  const double limit = (largest_code(bits) + 0.5) * scale;
  return std::clamp(weight, -limit, limit);
}

TEST(FakeQuant, GradientIsThatOfCuttingWithoutRounding) {
  std::size_t cut = 0;
  std::size_t passed = 0;
  for_each_case([&](const fake_quant_case& one) {
    const misaligned<float> got = one.backward(fake_quant_backward_cpu);
    for (std::size_t at = 0; at < got.span().size(); ++at) {
      constexpr double step = 1e-7;
      const double weight = static_cast<double>(one.weights.span()[at]);
      const double scale = static_cast<double>(one.scale(at));
      const double limit = (largest_code(one.shape.bits) + 0.5) * scale;
      if (std::abs(std::abs(weight) - limit) < 1e-5) continue;  // at the corner
      const double slope = (surrogate(weight + step, scale, one.shape.bits) -
                            surrogate(weight - step, scale, one.shape.bits)) /
                           (2.0 * step);
      const float before = one.before.span()[at];
      const float wanted = slope > 0.5 ? before + one.gradients.span()[at] : before;
      ASSERT_EQ(got.span()[at], wanted) << "at " << at;
      ++(slope > 0.5 ? passed : cut);
    }
  });
  EXPECT_GT(cut, 100U);
  EXPECT_GT(passed, 1000U);
}

TEST(FakeQuant, ComputesASmallCaseByHand) {
  const quantized_shape shape = {.inputs = 5, .outputs = 1, .bits = weight_bits::four};
  const std::array<float, 5> weights = {1.25F, 0.75F, 3.7F, 3.8F, -9.0F};
  const std::array<float, 1> scales = {0.5F};  // codes 2.5, 1.5, 7.4, 7.6, -18
  const std::array<float, 5> gradients = {1.0F, 1.0F, 1.0F, 1.0F, 1.0F};
  for_each_cpu_target([&] {
    std::array<float, 5> quantized{};
    fake_quant_cpu({.weights = weights, .shape = shape, .scales = scales, .quantized = quantized});
    EXPECT_EQ(quantized, (std::array{1.0F, 1.0F, 3.5F, 3.5F, -3.5F}));
    std::array<float, 5> sums{};
    fake_quant_backward_cpu({.weights = weights,
                             .shape = shape,
                             .scales = scales,
                             .quantized_gradients = gradients,
                             .weight_gradients = sums});
    EXPECT_EQ(sums, (std::array{1.0F, 1.0F, 1.0F, 0.0F, 0.0F}));
  });
}

TEST(FakeQuant, RefusesScalesOfTheWrongSize) {
  fake_quant_case one({8, 8, weight_bits::four}, test_seed());
  one.scales = misaligned<float>(3);
  EXPECT_DEATH(one.forward(fake_quant_cpu), "scales");
}

}  // namespace
}  // namespace headrace::kernels
