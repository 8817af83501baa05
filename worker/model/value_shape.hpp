#pragma once

#include <cstddef>
#include <string>

namespace headrace::worker {

/// What a layer gives for each sample: `fields` vectors of `dim` floats, side by side.
///
/// The rows of a lookup are no floats of a sample yet, but unique rows of a batch and an index for
/// each field: an operator that reads them (`fields`, `factorization`, `count`) says how.
struct value_shape {
  std::size_t fields = 1;
  std::size_t dim = 1;
  bool rows = false;
  std::size_t first_order = 0;  // of rows: columns in front that are weights, not vectors

  std::size_t columns() const { return fields * dim; }
  friend bool operator==(const value_shape&, const value_shape&) = default;
};

/// "26 x 16" or "429".
inline std::string describe(const value_shape& shape) {
  if (shape.fields == 1) return std::to_string(shape.dim);
  return std::to_string(shape.fields) + " x " + std::to_string(shape.dim);
}

}  // namespace headrace::worker
