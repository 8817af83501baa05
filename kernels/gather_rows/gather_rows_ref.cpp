#include "base/check.hpp"
#include "kernels/gather_rows/gather_rows.hpp"
#include "kernels/quantize_rows/quantize_rows.hpp"

#include <vector>

namespace headrace::kernels {

void gather_rows_ref(const gather_rows_args& args) {
  CHECK(args.values.size() == args.rows.size() * args.dim);
  std::size_t absent = 0;
  for (std::size_t i = 0; i < args.rows.size(); ++i) {
    const float* row = args.rows[i];
    if (row == nullptr) row = args.absent_values.subspan(args.dim * absent++, args.dim).data();
    for (std::size_t c = 0; c < args.dim; ++c) args.values[i * args.dim + c] = row[c];
  }
  CHECK(absent * args.dim == args.absent_values.size());
}

void gather_rows_int8_ref(const gather_rows_int8_args& args) {
  std::vector<float> values(args.rows.size() * args.dim);
  gather_rows_ref(
      {.rows = args.rows, .absent_values = args.absent_values, .dim = args.dim, .values = values});
  quantize_rows_ref(
      {.values = values, .codes = args.codes, .scales = args.scales, .dim = args.dim});
}

}  // namespace headrace::kernels
