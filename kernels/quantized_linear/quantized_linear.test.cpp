#include "kernels/quantized_linear/quantized_linear.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;

/// A layer with drawn codes and scales, and activations; all buffers misaligned.
struct linear_case {
  linear_case(std::size_t rows_n, const quantized_shape& s, std::uint64_t seed)
      : rows(rows_n),
        shape(s),
        x(rows_n * s.inputs),
        codes(word_count(s)),
        scales(scale_count(s)),
        bias(seed % 2 == 0 ? s.outputs : 0) {
    random_stream random(seed);
    for (float& value : x.span()) value = random.next_below(7) == 0 ? 0.0F : next_signed(random);
    for (float& value : scales.span()) value = 0.01F * static_cast<float>(random.next_unit());
    for (float& value : bias.span()) value = next_signed(random);
    std::vector<float> weights(s.inputs * s.outputs);
    const float top = static_cast<float>(largest_code(s.bits));
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const float scale =
          scales.span()[i / s.outputs / inputs_per_scale(s) * s.outputs + i % s.outputs];
      weights[i] = next_signed(random, 1.1F) * top * scale;
    }
    pack_weights({.weights = weights, .shape = s, .scales = scales.span(), .codes = codes.span()});
  }

  template <class Op>
  misaligned<float> run(const Op& op) const {
    misaligned<float> y(rows * shape.outputs, std::numeric_limits<float>::quiet_NaN());
    op(quantized_linear_args{.x = x.span(),
                             .shape = shape,
                             .codes = codes.span(),
                             .scales = scales.span(),
                             .bias = bias.span(),
                             .y = y.span(),
                             .rows = rows});
    return y;
  }

  double weight(std::size_t i, std::size_t o) const {
    return static_cast<double>(code_at(codes.span(), shape, i, o)) *
           static_cast<double>(scales.span()[i / inputs_per_scale(shape) * shape.outputs + o]);
  }
  void expect_within_bound(std::span<const float> y) const {
    for (std::size_t at = 0; at < y.size(); ++at) {
      const std::size_t o = at % shape.outputs;
      double exact = bias.span().empty() ? 0.0 : static_cast<double>(bias.span()[o]);
      double terms = std::abs(exact);
      for (std::size_t i = 0; i < shape.inputs; ++i) {
        const double term =
            static_cast<double>(x.span()[at / shape.outputs * shape.inputs + i]) * weight(i, o);
        exact += term;
        terms += std::abs(term);
      }
      const double steps = static_cast<double>(shape.inputs + 6);
      ASSERT_LE(std::abs(static_cast<double>(y[at]) - exact), steps * unit_roundoff * terms)
          << "at " << at;
    }
  }

  std::size_t rows;
  quantized_shape shape;
  misaligned<float> x;
  misaligned<std::uint32_t> codes;
  misaligned<float> scales;
  misaligned<float> bias;
};

template <class Check>
void for_each_case(const Check& check) {
  constexpr std::array<std::size_t, 8> rows = {0, 1, 2, 3, 4, 5, 7, 9};
  std::size_t n = 0;
  for (const weight_bits bits : {weight_bits::four, weight_bits::eight}) {
    for (const std::size_t inputs : {0U, 1U, 3U, 4U, 7U, 8U, 9U, 127U, 128U, 129U, 300U}) {
      for (const std::size_t outputs : {1U, 31U, 32U, 33U, 65U}) {
        const std::size_t rows_n = rows[n++ % rows.size()];
        SCOPED_TRACE(std::to_string(rows_n) + " rows, " + std::to_string(inputs) + " x " +
                     std::to_string(outputs) +
                     (bits == weight_bits::four ? ", four bits" : ", eight bits"));
        check(linear_case(rows_n, {inputs, outputs, bits}, test_seed() + n));
      }
    }
  }
}

TEST(QuantizedLinear, StaysWithinItsBoundOfTheExactProduct) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for_each_case([](const linear_case& one) {
        one.expect_within_bound(one.run(quantized_linear_cpu).span());
      });
    });
  });
}

TEST(QuantizedLinear, ReferenceIsTheProductWithTheDecodedWeights) {
  for_each_case([](const linear_case& one) {
    one.expect_within_bound(
        one.run([](const quantized_linear_args& args) { quantized_linear_ref(args); }).span());
  });
}

TEST(QuantizedLinear, StaysWithinItsBoundForManyRowsAndALongLayer) {
  for (const weight_bits bits : {weight_bits::four, weight_bits::eight}) {
    const linear_case one(64, {1031, 40, bits}, test_seed());
    one.expect_within_bound(one.run(quantized_linear_cpu).span());
  }
}

TEST(QuantizedLinear, GivesTheSameBitsTwice) {
  for_each_cpu_target([] {
    for_each_case([](const linear_case& one) {
      misaligned<float> first = one.run(quantized_linear_cpu);
      misaligned<float> second = one.run(quantized_linear_cpu);
      ASSERT_TRUE(same_bits(first.span(), second.span()));
    });
  });
}

/// Or a model would score one event differently in a batch than alone.
TEST(QuantizedLinear, GivesARowTheSameBitsAloneAndInABatch) {
  for_each_cpu_target([] {
    for_each_case([](const linear_case& one) {
      misaligned<float> all = one.run(quantized_linear_cpu);
      for (std::size_t row = 0; row < one.rows; ++row) {
        std::vector<float> alone(one.shape.outputs);
        quantized_linear_cpu({.x = one.x.span().subspan(row * one.shape.inputs, one.shape.inputs),
                              .shape = one.shape,
                              .codes = one.codes.span(),
                              .scales = one.scales.span(),
                              .bias = one.bias.span(),
                              .y = alone,
                              .rows = 1});
        ASSERT_TRUE(same_bits(std::span<float>(alone),
                              all.span().subspan(row * one.shape.outputs, one.shape.outputs)));
      }
    });
  });
}

TEST(QuantizedLinear, ComputesASmallCaseByHand) {
  const quantized_shape shape = {.inputs = 2, .outputs = 2, .bits = weight_bits::four};
  const std::array<float, 4> weights = {7.0F, -2.0F, -3.0F, 1.0F};
  const std::array<float, 2> scales = {1.0F, 0.5F};
  std::vector<std::uint32_t> codes(word_count(shape));
  pack_weights({.weights = weights, .shape = shape, .scales = scales, .codes = codes});
  const std::array<float, 2> x = {2.0F, 10.0F};
  const std::array<float, 2> bias = {0.5F, 0.0F};
  for_each_cpu_target([&] {
    std::array<float, 2> y{};
    quantized_linear_cpu({.x = x,
                          .shape = shape,
                          .codes = codes,
                          .scales = scales,
                          .bias = bias,
                          .y = y,
                          .rows = 1});
    EXPECT_EQ(y, (std::array{2.0F * 7.0F - 10.0F * 3.0F + 0.5F, 2.0F * -2.0F + 10.0F * 1.0F}));
  });
}

TEST(QuantizedLinear, RefusesCodesOfTheWrongSize) {
  linear_case one(1, {8, 8, weight_bits::four}, test_seed());
  one.codes = misaligned<std::uint32_t>(3);
  EXPECT_DEATH(one.run(quantized_linear_cpu), "codes");
}

}  // namespace
}  // namespace headrace::kernels
