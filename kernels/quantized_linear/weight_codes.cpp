#include "kernels/quantized_linear/weight_codes.hpp"

#include "base/check.hpp"
#include "kernels/quantized_linear/code_rule.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace headrace::kernels {
namespace {

constexpr std::size_t ratios = 33;

/// The r-th ratio of the grid, exact in float; the 0th is 1.
constexpr float ratio(weight_bits bits, std::size_t r) {
  return 1.0F - static_cast<float>(r) * (bits == weight_bits::four ? 0x1p-6F : 0x1p-8F);
}

/// Inputs [begin, end) of outputs [output, output + count), count <= panel_outputs.
struct weight_block {
  const float* weights;
  std::size_t stride;
  std::size_t begin;
  std::size_t end;
  std::size_t output;
  std::size_t count;

  const float* row(std::size_t input) const { return weights + input * stride + output; }
};

using panel_row = std::array<float, panel_outputs>;

/// scale of ratio 1: max|w| / largest, 0 where half of it would be subnormal.
panel_row whole_scales(const weight_block& block, float largest) {
  panel_row scales{};
  for (std::size_t i = block.begin; i < block.end; ++i) {
    const float* row = block.row(i);
    for (std::size_t o = 0; o < block.count; ++o) scales[o] = std::max(scales[o], std::abs(row[o]));
  }
  for (float& scale : scales) {
    scale /= largest;
    if (scale < 2.0F * std::numeric_limits<float>::min()) scale = 0.0F;
  }
  return scales;
}

/// Σ (w - code * scale)² of each output under the given scales.
std::array<double, panel_outputs> squared_errors(const weight_block& block,
                                                 const panel_row& scales,
                                                 float largest) {
  panel_row inverses{};
  std::transform(scales.begin(), scales.end(), inverses.begin(), inverse_scale);
  std::array<double, panel_outputs> errors{};
  for (std::size_t i = block.begin; i < block.end; ++i) {
    const float* row = block.row(i);
    for (std::size_t o = 0; o < block.count; ++o) {
      const float error = row[o] - weight_code(row[o], inverses[o], largest) * scales[o];
      errors[o] += static_cast<double>(error) * static_cast<double>(error);
    }
  }
  return errors;
}

void find_block_scales(const weight_block& block, weight_bits bits, float* scales) {
  const float largest = static_cast<float>(largest_code(bits));
  const panel_row whole = whole_scales(block, largest);
  panel_row best = whole;
  std::array<double, panel_outputs> least = squared_errors(block, whole, largest);
  for (std::size_t r = 1; r < ratios; ++r) {
    panel_row tried = whole;
    for (float& scale : tried) scale *= ratio(bits, r);
    const std::array<double, panel_outputs> errors = squared_errors(block, tried, largest);
    for (std::size_t o = 0; o < block.count; ++o) {
      if (errors[o] >= least[o]) continue;
      least[o] = errors[o];
      best[o] = tried[o];
    }
  }
  std::copy_n(best.begin(), block.count, scales);
}

}  // namespace

int code_at(std::span<const std::uint32_t> codes,
            const quantized_shape& shape,
            std::size_t input,
            std::size_t output) {
  const int width = static_cast<int>(shape.bits);
  const int up = 32 - width - static_cast<int>(bit_of(shape.bits, input));
  return static_cast<std::int32_t>(codes[word_of(shape, input, output)] << up) >> (32 - width);
}

void find_scales(const find_scales_args& args) {
  const quantized_shape& shape = args.shape;
  CHECK(args.weights.size() == shape.inputs * shape.outputs);
  CHECK(args.scales.size() == scale_count(shape));
  for (std::size_t group = 0; group < scale_groups(shape); ++group) {
    const std::size_t begin = group * inputs_per_scale(shape);
    const std::size_t end = std::min(begin + inputs_per_scale(shape), shape.inputs);
    for (std::size_t output = 0; output < shape.outputs; output += panel_outputs) {
      const weight_block block = {.weights = args.weights.data(),
                                  .stride = shape.outputs,
                                  .begin = begin,
                                  .end = end,
                                  .output = output,
                                  .count = std::min(panel_outputs, shape.outputs - output)};
      find_block_scales(block, shape.bits, args.scales.data() + group * shape.outputs + output);
    }
  }
}

void pack_weights(const pack_weights_args& args) {
  const quantized_shape& shape = args.shape;
  CHECK(args.weights.size() == shape.inputs * shape.outputs);
  CHECK(args.scales.size() == scale_count(shape));
  CHECK(args.codes.size() == word_count(shape));
  const float largest = static_cast<float>(largest_code(shape.bits));
  const std::uint32_t mask = (1U << static_cast<unsigned>(shape.bits)) - 1U;
  std::fill(args.codes.begin(), args.codes.end(), 0U);
  for (std::size_t i = 0; i < shape.inputs; ++i) {
    const float* scales = args.scales.data() + i / inputs_per_scale(shape) * shape.outputs;
    for (std::size_t o = 0; o < shape.outputs; ++o) {
      const float weight = args.weights[i * shape.outputs + o];
      const int code = static_cast<int>(weight_code(weight, inverse_scale(scales[o]), largest));
      args.codes[word_of(shape, i, o)] |= (static_cast<std::uint32_t>(code) & mask)
                                          << bit_of(shape.bits, i);
    }
  }
}

}  // namespace headrace::kernels
