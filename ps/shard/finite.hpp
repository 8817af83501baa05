#pragma once

#include "schemas/value_codec.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

/// Finiteness and size of gradients, in one pass over their bytes.
namespace headrace::ps {

/// Sum of squares, or infinity where a value is not finite. In float within a stretch of 4,096
/// values and in double across them: good to about 1e-4, enough to compare magnitudes, and as fast
/// as reading the bytes.
double sum_of_squares(std::span<const float> values);
/// Sum of (code * scale)², rows of `dim` codes; infinity where a scale (fp16 bits) is not finite.
double sum_of_squares(std::span<const std::int8_t> codes,
                      std::span<const std::uint16_t> scales,
                      std::size_t dim);

/// Sum of squares of fp16 or bf16 values, as of floats.
double sum_of_squares(schemas::value_codec codec, std::span<const std::uint16_t> words);

/// Index of the first value that is infinite or NaN, or `values.size()`.
std::size_t first_not_finite(std::span<const float> values);
/// The same for bits of fp16 or bf16.
std::size_t first_not_finite(schemas::value_codec codec, std::span<const std::uint16_t> words);

}  // namespace headrace::ps
