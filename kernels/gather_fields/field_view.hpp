#pragma once

#include <cstddef>
#include <span>

namespace headrace::kernels {

/// Vectors of the fields of samples inside a buffer: field f of sample s is the `dim` values that
/// start at s * sample_stride + f * field_stride.
///
/// The strides let an op read or write a part of wider rows, so that a concatenation is no copy:
/// vectors behind a first-order weight are `values` from column 1 on with field_stride 1 + dim.
/// Vectors that are written must not overlap. An op checks `fits()`.
template <class Value>
struct field_view {
  std::span<Value> values;
  std::size_t sample_stride = 0;
  std::size_t field_stride = 0;
  std::size_t samples = 0;
  std::size_t fields = 0;
  std::size_t dim = 0;

  Value* at(std::size_t sample, std::size_t field) const {
    return values.data() + sample * sample_stride + field * field_stride;
  }

  /// Whether every vector lies within `values`.
  bool fits() const {
    if (samples == 0 || fields == 0 || dim == 0) return true;
    return (samples - 1) * sample_stride + (fields - 1) * field_stride + dim <= values.size();
  }
};

/// The view of values [samples, fields, dim] without gaps.
template <class Value>
field_view<Value> packed_fields(std::span<Value> values,
                                std::size_t samples,
                                std::size_t fields,
                                std::size_t dim) {
  return {.values = values,
          .sample_stride = fields * dim,
          .field_stride = dim,
          .samples = samples,
          .fields = fields,
          .dim = dim};
}

}  // namespace headrace::kernels
