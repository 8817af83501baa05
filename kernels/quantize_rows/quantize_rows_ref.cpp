#include "base/check.hpp"
#include "kernels/quantize_rows/quantize_rows.hpp"
#include "kernels/quantize_rows/row_scale.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::kernels {

void quantize_rows_ref(const quantize_rows_args& args) {
  CHECK(args.values.size() == args.scales.size() * args.dim);
  CHECK(args.codes.size() == args.values.size());
  for (std::size_t r = 0; r < args.scales.size(); ++r) {
    const auto row = args.values.subspan(r * args.dim, args.dim);
    const auto codes = args.codes.subspan(r * args.dim, args.dim);
    float magnitude = 0.0F;
    for (const float value : row) magnitude = std::max(magnitude, std::abs(value));
    args.scales[r] = row_scale(magnitude);
    const float factor = args.scales[r] == 0 ? 0.0F : 1.0F / half_to_float(args.scales[r]);
    for (std::size_t c = 0; c < args.dim; ++c) {
      const float steps = row[c] * factor;
      codes[c] = static_cast<std::int8_t>(std::nearbyint(std::clamp(steps, -127.0F, 127.0F)));
    }
  }
}

void dequantize_rows_ref(const dequantize_rows_args& args) {
  CHECK(args.values.size() == args.scales.size() * args.dim);
  CHECK(args.codes.size() == args.values.size());
  for (std::size_t r = 0; r < args.scales.size(); ++r) {
    const float scale = half_to_float(args.scales[r]);
    for (std::size_t c = 0; c < args.dim; ++c) {
      args.values[r * args.dim + c] = static_cast<float>(args.codes[r * args.dim + c]) * scale;
    }
  }
}

}  // namespace headrace::kernels
