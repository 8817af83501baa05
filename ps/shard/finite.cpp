#include "ps/shard/finite.hpp"

#include "kernels/runtime/half.hpp"
#include "kernels/stored_weights/stored_weights.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>

namespace headrace::ps {
namespace {

constexpr std::size_t lanes = 16;
constexpr std::size_t stretch = 4'096;

// Four floats that the compiler keeps in a register: plain arrays of sums stay in memory at -O2
// (half the speed).
using float4 = float __attribute__((vector_size(16)));

float4 load(const float* from) {
  float4 value;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

float stretch_sum(const float* values, std::size_t n) {
  float4 a{}, b{}, c{}, d{};
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const float4 v = load(values + i), w = load(values + i + 4);
    const float4 x = load(values + i + 8), y = load(values + i + 12);
    a += v * v;
    b += w * w;
    c += x * x;
    d += y * y;
  }
  float sum = 0.0F;
  for (; i < n; ++i) sum += values[i] * values[i];
  const float4 all = (a + b) + (c + d);
  return sum + ((all[0] + all[1]) + (all[2] + all[3]));
}

double careful_sum(std::span<const float> values) {
  double sum = 0.0;
  for (const float value : values) sum += static_cast<double>(value) * value;
  return sum;  // squares of finite floats cannot overflow a double
}

bool is_finite(float value) {
  return (std::bit_cast<std::uint32_t>(value) & 0x7F800000U) != 0x7F800000U;
}
bool is_finite(std::uint16_t half) { return (half & 0x7C00U) != 0x7C00U; }

std::size_t first_bad(std::span<const float> values) {
  return static_cast<std::size_t>(
      std::find_if(values.begin(), values.end(), [](float value) { return !is_finite(value); }) -
      values.begin());
}

std::int32_t code_squares(const std::int8_t* codes, std::size_t n) {
  std::array<std::int32_t, lanes> sums{};
  std::size_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      const auto code = static_cast<std::int16_t>(
          codes[i + lane]);  // NOLINT(bugprone-signed-char-misuse): signed on purpose
      sums[lane] += code * code;
    }
  }
  std::int32_t sum = 0;
  for (; i < n; ++i) sum += codes[i] * codes[i];
  for (const std::int32_t lane : sums) sum += lane;
  return sum;
}

}  // namespace

double sum_of_squares(std::span<const float> values) {
  double sum = 0.0;
  for (std::size_t begin = 0; begin < values.size(); begin += stretch) {
    const auto part = values.subspan(begin, std::min(stretch, values.size() - begin));
    const float quick = stretch_sum(part.data(), part.size());
    if (is_finite(quick)) {  // the square of an infinity or a NaN would have shown
      sum += static_cast<double>(quick);
    } else if (first_bad(part) < part.size()) {
      return std::numeric_limits<double>::infinity();
    } else {
      sum += careful_sum(part);
    }
  }
  return sum;
}

double sum_of_squares(std::span<const std::int8_t> codes,
                      std::span<const std::uint16_t> scales,
                      std::size_t dim) {
  double sum = 0.0;
  for (std::size_t row = 0; row < scales.size(); ++row) {
    if (!is_finite(scales[row])) return std::numeric_limits<double>::infinity();
    const double scale = static_cast<double>(kernels::half_to_float(scales[row]));
    sum += static_cast<double>(code_squares(codes.data() + row * dim, dim)) * scale * scale;
  }
  return sum;
}

double sum_of_squares(schemas::value_codec codec, std::span<const std::uint16_t> words) {
  std::array<float, stretch> values;
  double sum = 0.0;
  for (std::size_t begin = 0; begin < words.size(); begin += stretch) {
    const auto part = words.subspan(begin, std::min(stretch, words.size() - begin));
    const std::array row = {reinterpret_cast<const std::byte*>(part.data())};
    const auto widened = std::span(values).first(part.size());
    kernels::widen_weights({.format = static_cast<kernels::value_format>(codec),
                            .rows = row,
                            .dim = part.size(),
                            .values = widened});
    sum += sum_of_squares(widened);
  }
  return sum;
}

std::size_t first_not_finite(std::span<const float> values) { return first_bad(values); }
std::size_t first_not_finite(schemas::value_codec codec, std::span<const std::uint16_t> words) {
  const unsigned exponent = codec == schemas::value_codec::fp16 ? 0x7C00U : 0x7F80U;
  const auto bad = [=](std::uint16_t word) { return (word & exponent) == exponent; };
  return static_cast<std::size_t>(std::find_if(words.begin(), words.end(), bad) - words.begin());
}

}  // namespace headrace::ps
