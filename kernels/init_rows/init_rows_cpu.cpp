#include "base/check.hpp"
#include "base/random.hpp"
#include "kernels/init_rows/init_rows.hpp"

#include <algorithm>

namespace headrace::kernels {
namespace {

void init_row(const init_rows_args& args, std::uint64_t key, float* row) {
  const std::size_t zeros = std::min(args.first_order_columns, args.dim);
  std::fill_n(row, zeros, 0.0F);
  for (std::size_t c = zeros; c < args.dim; ++c) {
    row[c] = args.scale * (2.0F * unit_float(counter_draw(args.seed, key, c)) - 1.0F);
  }
}

}  // namespace

void init_rows_cpu(const init_rows_args& args) {
  const std::size_t n = args.keys.size();
  if (!args.rows.empty()) {
    CHECK(args.rows.size() == n);
    for (std::size_t i = 0; i < n; ++i) init_row(args, args.keys[i], args.rows[i]);
    return;
  }
  CHECK(args.values.size() == n * args.dim);
  for (std::size_t i = 0; i < n; ++i)
    init_row(args, args.keys[i], args.values.data() + i * args.dim);
}

}  // namespace headrace::kernels
