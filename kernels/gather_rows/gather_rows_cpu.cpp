#include "base/check.hpp"
#include "kernels/gather_rows/gather_rows.hpp"
#include "kernels/quantize_rows/quantize_scattered.hpp"
#include "kernels/runtime/prefetch.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace headrace::kernels {
namespace {

/// Calls see(i, row) for each row in order, its memory asked for well before.
template <class See>
void for_rows(std::span<const float* const> rows,
              std::span<const float> absent_values,
              std::size_t dim,
              const See& see) {
  const std::size_t row_bytes = dim * sizeof(float);
  const auto ask_for = [&](std::size_t i) {
    if (rows[i] != nullptr) prefetch_row(rows[i], row_bytes);
  };
  for (std::size_t i = 0; i < std::min(rows.size(), prefetch_rows_ahead); ++i) ask_for(i);
  std::size_t absent = 0;  // values used so far
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i + prefetch_rows_ahead < rows.size()) ask_for(i + prefetch_rows_ahead);
    if (rows[i] != nullptr) {
      see(i, rows[i]);
    } else {
      CHECK(absent + dim <= absent_values.size());
      see(i, absent_values.data() + absent);
      absent += dim;
    }
  }
  CHECK(absent == absent_values.size());
}

}  // namespace

// memcpy already picks the widest moves of the machine: nothing for Highway to add.
void gather_rows_cpu(const gather_rows_args& args) {
  CHECK(args.values.size() == args.rows.size() * args.dim);
  for_rows(args.rows, args.absent_values, args.dim, [&args](std::size_t i, const float* row) {
    std::memcpy(args.values.data() + i * args.dim, row, args.dim * sizeof(float));
  });
}

void gather_rows_int8_cpu(const gather_rows_int8_args& args) {
  CHECK(args.scales.size() == args.rows.size());
  CHECK(args.codes.size() == args.rows.size() * args.dim);
  constexpr std::size_t block = 32;  // rows that stay in L1 between being asked for and being read
  std::array<const float*, block> seen;
  for_rows(args.rows, args.absent_values, args.dim, [&](std::size_t i, const float* row) {
    const std::size_t at = i % block;
    seen[at] = row;
    if (at + 1 < block && i + 1 < args.rows.size()) return;
    quantize_scattered_cpu(std::span(seen).first(at + 1),
                           args.dim,
                           args.codes.data() + (i - at) * args.dim,
                           args.scales.data() + (i - at));
  });
}

}  // namespace headrace::kernels
