#include "base/check.hpp"
#include "base/random.hpp"
#include "kernels/init_rows/init_rows.hpp"

namespace headrace::kernels {

void init_rows_ref(const init_rows_args& args) {
  CHECK(args.rows.size() == args.keys.size() || args.values.size() == args.keys.size() * args.dim);
  for (std::size_t i = 0; i < args.keys.size(); ++i) {
    float* row = args.rows.empty() ? &args.values[i * args.dim] : args.rows[i];
    for (std::size_t c = 0; c < args.dim; ++c) {
      const float u = unit_float(counter_draw(args.seed, args.keys[i], c));
      row[c] = c < args.first_order_columns ? 0.0F : args.scale * (2.0F * u - 1.0F);
    }
  }
}

}  // namespace headrace::kernels
