#include "base/check.hpp"
#include "kernels/gather_rows/gather_rows.hpp"
#include "kernels/quantize_rows/quantize_rows.hpp"
#include "kernels/runtime/half.hpp"
#include "kernels/stored_weights/stored_weights.hpp"

#include <cstring>
#include <vector>

namespace headrace::kernels {
namespace {

/// The rows with the absent ones filled in.
std::vector<const std::byte*> all_rows(const gather_rows_args& args) {
  const std::size_t row_bytes = stored_bytes(args.stored, args.dim);
  std::vector<const std::byte*> rows(args.rows.begin(), args.rows.end());
  std::size_t absent = 0;
  for (const std::byte*& row : rows) {
    if (row == nullptr) row = args.absent_rows.subspan(row_bytes * absent++, row_bytes).data();
  }
  CHECK(absent * row_bytes == args.absent_rows.size());
  return rows;
}

void copy_codes(const gather_rows_args& args, const std::vector<const std::byte*>& rows) {
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::memcpy(&args.scales[r], rows[r], sizeof(args.scales[r]));
    std::memcpy(&args.values[r * args.dim], rows[r] + 4, args.dim);
  }
}

void copy_values(const gather_rows_args& args, const std::vector<const std::byte*>& rows) {
  const std::size_t bytes = args.dim * value_bytes(args.to);
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::memcpy(&args.values[r * bytes], rows[r], bytes);
  }
}

void quantize(const gather_rows_args& args, const std::vector<float>& values) {
  auto* codes = reinterpret_cast<std::int8_t*>(args.values.data());
  quantize_rows_ref(
      {.values = values, .codes = {codes, values.size()}, .scales = args.scales, .dim = args.dim});
}

}  // namespace

void gather_rows_ref(const gather_rows_args& args) {
  const std::size_t size = args.rows.size() * args.dim;
  CHECK(args.values.size() == size * value_bytes(args.to));
  CHECK(args.scales.size() == (args.to == value_format::int8 ? args.rows.size() : 0));
  const auto rows = all_rows(args);
  if (args.stored == args.to) {
    return args.to == value_format::int8 ? copy_codes(args, rows) : copy_values(args, rows);
  }
  std::vector<float> values(size);
  widen_weights_ref({.format = args.stored, .rows = rows, .dim = args.dim, .values = values});
  if (args.to == value_format::int8) return quantize(args, values);
  for (std::size_t i = 0; i < size; ++i) {
    const std::uint16_t word =
        args.to == value_format::fp16 ? half_nearest(values[i]) : brain_nearest(values[i]);
    std::byte* at = args.values.data() + i * value_bytes(args.to);
    if (args.to == value_format::fp32) std::memcpy(at, &values[i], sizeof(float));
    if (args.to != value_format::fp32) std::memcpy(at, &word, sizeof(word));
  }
}

}  // namespace headrace::kernels
