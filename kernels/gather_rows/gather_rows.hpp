#pragma once

#include "kernels/runtime/value_format.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Copies the weights of scattered rows into one block, in the format asked for: a pull reply.
///
/// rows [n] pointers to weights at rest in the format `stored` (kernels/stored_weights), 4-byte
/// aligned, null where the row is absent; `absent_rows` [k, stored_bytes] those of the k absent
/// rows in order. values [n, dim] out in the format `to`, with scales [n] (fp16 bits) for int8,
/// else none. Equal formats are copied, wider ones exact. Narrower ones are rounded to nearest,
/// ties to even: fp16 to ±65504 at most and bf16 to its largest finite value, int8 exactly as
/// quantize_rows (kernels/quantize_rows) does of the row. Weights are finite.
/// Bit-exact: reference and every CPU target give the same bits.
struct gather_rows_args {
  value_format stored = value_format::fp32;
  std::span<const std::byte* const> rows;
  std::span<const std::byte> absent_rows = {};
  std::size_t dim = 1;
  value_format to = value_format::fp32;
  std::span<std::byte> values;
  std::span<std::uint16_t> scales = {};
};
void gather_rows_ref(const gather_rows_args& args);
/// Prefetches rows ahead.
void gather_rows_cpu(const gather_rows_args& args);

inline void gather_rows(const gather_rows_args& args) { gather_rows_cpu(args); }

}  // namespace headrace::kernels
