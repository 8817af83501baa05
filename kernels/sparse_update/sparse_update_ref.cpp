#include "base/check.hpp"
#include "kernels/runtime/half.hpp"
#include "kernels/sparse_update/sparse_update.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::kernels {
namespace {

float limited(float x, float bound) { return std::min(std::max(x, -bound), bound); }

float raw_gradient(const sparse_update_args& args, std::size_t row, std::size_t column) {
  const std::size_t at = row * args.dim + column;
  const float g = args.codes.empty()
                      ? args.gradients[at]
                      : static_cast<float>(args.codes[at]) * half_to_float(args.scales[row]);
  return std::isfinite(g) ? g : 0.0F;
}

}  // namespace

/// In float on purpose: here the definition is the rounding, too.
void sparse_update_ref(const sparse_update_args& args) {
  for (std::size_t r = 0; r < args.rows.size(); ++r) {
    for (std::size_t c = 0; c < args.dim; ++c) {
      float& w = args.rows[r][c];
      const float rate = c < args.first_columns ? args.first_rate : args.rate;
      float g = raw_gradient(args, r, c);
      if (args.clip > 0.0F) g = limited(g, args.clip);
      if (args.l2 != 0.0F) g = g + args.l2 * w;
      g = limited(g, weight_max);
      if (args.rule == update_rule::add) {
        w = w + g;
      } else if (args.rule == update_rule::sgd) {
        w = w - rate * g;
      } else {
        float& a = args.rows[r][args.dim + c];
        a = std::min(a + g * g, weight_max);
        w = w - (rate * g) / (std::sqrt(a) + adagrad_epsilon);
      }
      w = limited(w, weight_max);
    }
  }
}

}  // namespace headrace::kernels
