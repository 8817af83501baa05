#include "kernels/quantized_linear/weight_codes.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::kernels {
namespace {

/// Weights with some far larger than the rest, as trained layers have them; scales and codes of it.
struct coded_layer {
  coded_layer(const quantized_shape& s, std::uint64_t seed)
      : shape(s), weights(s.inputs * s.outputs), scales(scale_count(s)), codes(word_count(s), 7U) {
    random_stream random(seed);
    for (float& weight : weights) {
      weight = next_signed(random, 0.05F) * next_signed(random);
      if (random.next_below(60) == 0) weight *= 8.0F;
    }
  }
  void code() {
    find_scales({.weights = weights, .shape = shape, .scales = scales});
    pack_weights({.weights = weights, .shape = shape, .scales = scales, .codes = codes});
  }
  double weight(std::size_t i, std::size_t o) const {
    return static_cast<double>(weights[i * shape.outputs + o]);
  }
  double scale(std::size_t i, std::size_t o) const {
    return static_cast<double>(scales[i / inputs_per_scale(shape) * shape.outputs + o]);
  }

  quantized_shape shape;
  std::vector<float> weights;
  std::vector<float> scales;
  std::vector<std::uint32_t> codes;
};

template <class Check>
void for_each_layer(const Check& check) {
  for (const weight_bits bits : {weight_bits::four, weight_bits::eight}) {
    for (const std::size_t inputs : {1U, 3U, 8U, 127U, 128U, 129U, 300U}) {
      for (const std::size_t outputs : {1U, 31U, 32U, 33U, 70U}) {
        SCOPED_TRACE(std::to_string(inputs) + " x " + std::to_string(outputs) +
                     (bits == weight_bits::four ? ", four bits" : ", eight bits"));
        coded_layer layer({.inputs = inputs, .outputs = outputs, .bits = bits},
                          test_seed() + inputs * 100 + outputs);
        layer.code();
        check(layer);
      }
    }
  }
}

double largest(const quantized_shape& shape) {
  return static_cast<double>(largest_code(shape.bits));
}

TEST(WeightCodes, AreTheNearestToTheWeightUnlessCut) {
  for_each_layer([](const coded_layer& layer) {
    const double top = largest(layer.shape);
    for (std::size_t i = 0; i < layer.shape.inputs; ++i) {
      for (std::size_t o = 0; o < layer.shape.outputs; ++o) {
        const double scale = layer.scale(i, o);
        const double code = code_at(layer.codes, layer.shape, i, o);
        const double wanted = layer.weight(i, o) / scale;
        if (std::abs(wanted) > top + 0.5) {
          ASSERT_EQ(code, std::copysign(top, wanted)) << "weight " << i << ", " << o;
        } else {
          ASSERT_LE(std::abs(layer.weight(i, o) - code * scale), 0.5 * scale * (1.0 + 0x1p-15))
              << "weight " << i << ", " << o;
        }
      }
    }
  });
}

/// Squared error of one group and output in double, with the codes that are best for a scale.
double squared_error(const coded_layer& layer, std::size_t group, std::size_t o, double scale) {
  const std::size_t per_scale = inputs_per_scale(layer.shape);
  const std::size_t end = std::min((group + 1) * per_scale, layer.shape.inputs);
  double error = 0.0;
  for (std::size_t i = group * per_scale; i < end; ++i) {
    const double w = layer.weight(i, o);
    const double top = largest(layer.shape);
    error += std::pow(w - std::clamp(std::nearbyint(w / scale), -top, top) * scale, 2);
  }
  return error;
}

TEST(WeightCodes, ScalesHaveTheLeastSquaredErrorOfTheGrid) {
  for_each_layer([](const coded_layer& layer) {
    const double step = layer.shape.bits == weight_bits::four ? 0x1p-6 : 0x1p-8;
    for (std::size_t group = 0; group < scale_groups(layer.shape); ++group) {
      for (std::size_t o = 0; o < layer.shape.outputs; ++o) {
        const std::size_t begin = group * inputs_per_scale(layer.shape);
        const std::size_t end = std::min(begin + inputs_per_scale(layer.shape), layer.shape.inputs);
        double magnitude = 0.0;
        for (std::size_t i = begin; i < end; ++i) {
          magnitude = std::max(magnitude, std::abs(layer.weight(i, o)));
        }
        double least = std::numeric_limits<double>::max();
        for (int r = 0; r <= 32; ++r) {
          const double scale = magnitude / largest(layer.shape) * (1.0 - r * step);
          least = std::min(least, squared_error(layer, group, o, scale));
        }
        // A float scale is off by 2^-23 of itself, each weight's error by 2^-23 of the weight.
        const double slack = static_cast<double>(end - begin) * std::pow(magnitude * 0x1p-22, 2);
        ASSERT_LE(squared_error(layer, group, o, layer.scale(begin, o)),
                  least * (1.0 + 1e-4) + slack)
            << "group " << group << ", output " << o;
      }
    }
  });
}

TEST(WeightCodes, CutAnOutlierWhereThatHelpsTheOthers) {
  coded_layer layer({.inputs = 128, .outputs = 1, .bits = weight_bits::four}, test_seed());
  random_stream random(test_seed());
  for (float& weight : layer.weights) weight = next_signed(random);
  layer.weights[77] = 2.0F;
  layer.code();
  EXPECT_LT(layer.scales[0], 2.0F / 7.0F);
  EXPECT_EQ(code_at(layer.codes, layer.shape, 77, 0), 7);
}

TEST(WeightCodes, AreZeroUnderAZeroScale) {
  for (const weight_bits bits : {weight_bits::four, weight_bits::eight}) {
    coded_layer layer({.inputs = 140, .outputs = 3, .bits = bits}, test_seed());
    std::fill(layer.weights.begin(), layer.weights.end(), 0.0F);
    layer.weights[5] = 0x1p-140F;
    layer.code();
    for (const float scale : layer.scales) EXPECT_EQ(scale, 0.0F);
    for (const std::uint32_t word : layer.codes) EXPECT_EQ(word, 0U);
  }
}

TEST(WeightCodes, ComeBackFromWhereTheyWerePut) {
  for (const weight_bits bits : {weight_bits::four, weight_bits::eight}) {
    coded_layer layer({.inputs = 37, .outputs = 45, .bits = bits}, test_seed());
    const int top = largest_code(bits);
    for (std::size_t at = 0; at < layer.weights.size(); ++at) {
      layer.weights[at] = static_cast<float>(static_cast<int>(at * 31 % (2 * top + 1)) - top);
    }
    std::fill(layer.scales.begin(), layer.scales.end(), 1.0F);
    pack_weights({.weights = layer.weights,
                  .shape = layer.shape,
                  .scales = layer.scales,
                  .codes = layer.codes});
    for (std::size_t at = 0; at < layer.weights.size(); ++at) {
      ASSERT_EQ(static_cast<float>(code_at(layer.codes, layer.shape, at / 45, at % 45)),
                layer.weights[at]);
    }
  }
}

TEST(WeightCodes, TakeAHalfAndAQuarterOfHalfWidthWeights) {
  const std::size_t half_width = 1024 * 1024 * 2;
  EXPECT_EQ(quantized_bytes({1024, 1024, weight_bits::eight}), half_width / 2 + 1024 * 4);
  EXPECT_EQ(quantized_bytes({1024, 1024, weight_bits::four}), half_width / 4 + half_width / 64);
  EXPECT_EQ(quantized_bytes({0, 5, weight_bits::four}), 0U);
}

}  // namespace
}  // namespace headrace::kernels
