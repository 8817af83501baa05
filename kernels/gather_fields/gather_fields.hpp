#pragma once

#include "kernels/gather_fields/field_view.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Columns of the unique rows of a batch, laid out by sample and field (S2 of the kernel plan with
/// one row a bag): out[s, f] = x * rows[inverse[s * fields + f]][first_column, first_column + dim).
///
/// rows [u, width]; inverse [samples * fields] < u, sample-major; values x like inverse, or empty
/// when all are 1 (then the bits are copied). out says samples, fields and dim, and lies where its
/// strides say, so that the caller may gather straight into a wider row; nothing else of that is
/// touched. out does not overlap rows. The result is exact or rounded once: the CPU targets agree
/// bit for bit.
template <class Value>
struct basic_gather_fields_args {
  std::span<const Value> rows;
  std::size_t width = 1;
  std::size_t first_column = 0;
  std::span<const std::uint32_t> inverse;
  std::span<const Value> values = {};
  field_view<Value> out;
};
using gather_fields_args = basic_gather_fields_args<float>;

void gather_fields_ref(const gather_fields_args& args);
void gather_fields_ref(const basic_gather_fields_args<double>& args);
void gather_fields_cpu(const gather_fields_args& args);

inline void gather_fields(const gather_fields_args& args) { gather_fields_cpu(args); }

/// Gradient of gather_fields: row_gradients[inverse[s * fields + f]][first_column + k] += x *
/// out_gradients[s, f][k].
///
/// Adds to row_gradients [u, width], since a row occurs often and its columns may be gathered by
/// several ops; other columns stay. Sample by sample, field by field, multiply then add: the CPU
/// targets agree bit for bit, run after run. CUDA sums rows of 64 places and more in tiles: other
/// bits there, the same run after run. Bound against exact for a row of len occurrences:
/// (len + 1) * 2^-24 * (|what was there| + Σ |x * gradient|), while nothing over- or underflows.
template <class Value>
struct basic_gather_fields_backward_args {
  std::size_t width = 1;
  std::size_t first_column = 0;
  std::span<const std::uint32_t> inverse;
  std::span<const Value> values = {};
  field_view<const Value> out_gradients;
  std::span<Value> row_gradients;
};
using gather_fields_backward_args = basic_gather_fields_backward_args<float>;

void gather_fields_backward_ref(const gather_fields_backward_args& args);
void gather_fields_backward_ref(const basic_gather_fields_backward_args<double>& args);
void gather_fields_backward_cpu(const gather_fields_backward_args& args);

inline void gather_fields_backward(const gather_fields_backward_args& args) {
  gather_fields_backward_cpu(args);
}

}  // namespace headrace::kernels
