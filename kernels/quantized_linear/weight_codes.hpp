#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

/// Weights of a layer, W [inputs, outputs], as small integers and scales: weight = code * scale.
///
/// Symmetric, round to nearest even, no zero point. Eight bits: codes -127 … 127, one scale per
/// output. Four bits: codes -7 … 7, one scale per output and group of 128 inputs (the last group
/// may be shorter). Scales are [groups, outputs], row-major.
///
/// Codes lie in panels of 32 outputs, each [words, 32] of 32 bits, one panel after the other; the
/// last is filled up with zeros. A word holds one output's codes for 4 (8) consecutive inputs, the
/// first of them in the top bits, so that a shift takes the next code of a whole vector.
namespace headrace::kernels {

enum class weight_bits : std::uint8_t { four = 4, eight = 8 };

struct quantized_shape {
  std::size_t inputs = 0;
  std::size_t outputs = 0;
  weight_bits bits = weight_bits::eight;
};

constexpr std::size_t panel_outputs = 32;
constexpr std::size_t group_inputs = 128;

constexpr int largest_code(weight_bits bits) { return bits == weight_bits::four ? 7 : 127; }
constexpr std::size_t codes_per_word(weight_bits bits) {
  return 32 / static_cast<std::size_t>(bits);
}

/// Inputs under one scale, but for the last group.
constexpr std::size_t inputs_per_scale(const quantized_shape& shape) {
  return shape.bits == weight_bits::four ? group_inputs : shape.inputs;
}
constexpr std::size_t scale_groups(const quantized_shape& shape) {
  if (shape.inputs == 0) return 0;
  return (shape.inputs - 1) / inputs_per_scale(shape) + 1;
}
/// How many scales: groups * outputs.
constexpr std::size_t scale_count(const quantized_shape& shape) {
  return scale_groups(shape) * shape.outputs;
}
/// Words of one output.
constexpr std::size_t words_per_output(const quantized_shape& shape) {
  return (shape.inputs + codes_per_word(shape.bits) - 1) / codes_per_word(shape.bits);
}
/// How many words of codes, with what fills up the last panel.
constexpr std::size_t word_count(const quantized_shape& shape) {
  const std::size_t panels = (shape.outputs + panel_outputs - 1) / panel_outputs;
  return panels * panel_outputs * words_per_output(shape);
}
/// Bytes of codes and scales. Against two bytes a weight: 1/2 + 2/inputs of them for eight bits,
/// 1/4 + 1/64 for four, where inputs and outputs fill words, groups and panels.
constexpr std::size_t quantized_bytes(const quantized_shape& shape) {
  return word_count(shape) * sizeof(std::uint32_t) + scale_count(shape) * sizeof(float);
}
/// Which word holds a code, and the lowest bit of it there.
constexpr std::size_t word_of(const quantized_shape& shape, std::size_t input, std::size_t output) {
  const std::size_t row =
      output / panel_outputs * words_per_output(shape) + input / codes_per_word(shape.bits);
  return row * panel_outputs + output % panel_outputs;
}
constexpr std::size_t bit_of(weight_bits bits, std::size_t input) {
  const std::size_t per_word = codes_per_word(bits);
  return (per_word - 1 - input % per_word) * static_cast<std::size_t>(bits);
}
/// The code of one weight.
int code_at(std::span<const std::uint32_t> codes,
            const quantized_shape& shape,
            std::size_t input,
            std::size_t output);

/// Chooses the scale with the least squared error for each group and output: scale = r * max|w| /
/// largest code, with r from a grid of 33 ratios below and including 1.
///
/// Four bits: r = 1/2, 33/64, …, 1. Eight bits: r = 7/8, 225/256, …, 1. Where one weight M of n is
/// cut off and the others have rounding noise step²/12, the error (1 - r)² M² + n (r M / q)² / 12
/// is least at r = 1 / (1 + n / (12 q²)): 0.82 for four bits; 0.979 for eight bits and n = 4096.
/// Were the noise three times that, the most there can be: 0.60 and 0.94 (0.875 at n = 9216). With
/// more weights cut off r is larger, so the grid holds the optimum. A step of the grid moves the
/// largest code by 0.11 (0.5) of a step of the codes, so that codes hardly differ between
/// neighbours. On ties the larger ratio wins.
///
/// weights [inputs, outputs], finite, below 2^100 in magnitude; scales [groups, outputs] out; 0
/// where max|w| < 2^-122. Plain floats without fused steps: the same bits on every machine. For
/// once per published model, not per batch (some 100 ns a weight).
struct find_scales_args {
  std::span<const float> weights;
  quantized_shape shape;
  std::span<float> scales;
};
void find_scales(const find_scales_args& args);

/// code = w * (1 / scale) in float, rounded to nearest even and cut to ± the largest code; 0 where
/// the scale is 0. |w - code * scale| <= scale / 2 * (1 + 2^-15) where the code is not cut. Writes
/// all of codes [word_count].
struct pack_weights_args {
  std::span<const float> weights;
  quantized_shape shape;
  std::span<const float> scales;
  std::span<std::uint32_t> codes;
};
void pack_weights(const pack_weights_args& args);

}  // namespace headrace::kernels
