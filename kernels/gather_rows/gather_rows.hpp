#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Copies scattered rows into one block: a pull reply.
///
/// rows [n] pointers to dim floats, null where the row is absent; `absent_values` [k, dim], the
/// values of the k absent rows in order (init_rows makes them). values [n, dim] out. Exact.
struct gather_rows_args {
  std::span<const float* const> rows;
  std::span<const float> absent_values = {};
  std::size_t dim = 1;
  std::span<float> values;
};
void gather_rows_ref(const gather_rows_args& args);
/// Prefetches rows ahead.
void gather_rows_cpu(const gather_rows_args& args);

inline void gather_rows(const gather_rows_args& args) { gather_rows_cpu(args); }

/// As gather_rows, quantized on the way: codes [n, dim] i8, scales [n] fp16 bits, exactly what
/// quantize_rows (kernels/quantize_rows) makes of the gathered rows.
struct gather_rows_int8_args {
  std::span<const float* const> rows;
  std::span<const float> absent_values = {};
  std::size_t dim = 1;
  std::span<std::int8_t> codes;
  std::span<std::uint16_t> scales;
};
void gather_rows_int8_ref(const gather_rows_int8_args& args);
void gather_rows_int8_cpu(const gather_rows_int8_args& args);

inline void gather_rows_int8(const gather_rows_int8_args& args) { gather_rows_int8_cpu(args); }

}  // namespace headrace::kernels
