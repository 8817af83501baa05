#include "base/check.hpp"
#include "kernels/block_int4/block_int4.hpp"
#include "kernels/block_int4/block_scale.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

std::size_t byte_of(std::size_t i) { return i / int4_block * 16 + i % 16; }

}  // namespace

void encode_int4_ref(const encode_int4_args& args) {
  const std::size_t n = args.values.size();
  CHECK(args.residuals.empty() || args.residuals.size() == n);
  CHECK(args.codes.size() == int4_bytes(n));
  CHECK(args.scales.size() == int4_scales(n));
  std::fill(args.codes.begin(), args.codes.end(), std::uint8_t{0});
  for (std::size_t begin = 0; begin < n; begin += int4_block) {
    const std::size_t size = std::min(int4_block, n - begin);
    std::array<float, int4_block> block;
    float magnitude = 0.0F;
    for (std::size_t i = 0; i < size; ++i) {
      block[i] = args.values[begin + i];
      if (!args.residuals.empty()) block[i] += args.residuals[begin + i];
      magnitude = std::max(magnitude, std::abs(block[i]));
    }
    const std::uint16_t scale_bits = block_scale(magnitude);
    const float scale = half_to_float(scale_bits);
    const float factor = scale_bits == 0 ? 0.0F : 1.0F / scale;
    args.scales[begin / int4_block] = scale_bits;
    for (std::size_t i = 0; i < size; ++i) {
      const float code = std::nearbyint(std::clamp(block[i] * factor, -7.0F, 7.0F));
      const unsigned half_byte = static_cast<unsigned>(static_cast<int>(code)) & 0xFU;
      const std::size_t at = begin + i;
      args.codes[byte_of(at)] |= static_cast<std::uint8_t>(i < 16 ? half_byte : half_byte << 4);
      if (!args.residuals.empty()) {
        args.residuals[at] = block[i] - static_cast<float>(static_cast<int>(code)) * scale;
      }
    }
  }
}

void decode_int4_ref(const decode_int4_args& args) {
  CHECK(args.codes.size() == int4_bytes(args.values.size()));
  CHECK(args.scales.size() == int4_scales(args.values.size()));
  for (std::size_t i = 0; i < args.values.size(); ++i) {
    const unsigned both = args.codes[byte_of(i)];
    const int half_byte = static_cast<int>(i % int4_block < 16 ? both & 0xFU : both >> 4);
    const int code = half_byte < 8 ? half_byte : half_byte - 16;
    args.values[i] = static_cast<float>(code) * half_to_float(args.scales[i / int4_block]);
  }
}

}  // namespace headrace::kernels
