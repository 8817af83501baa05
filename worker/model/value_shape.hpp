#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace headrace::worker {

/// What a layer gives for each sample: `fields` vectors of `dim` floats, side by side.
///
/// The rows of a lookup are no floats of a sample yet, but unique rows of a batch and an index for
/// each field: an operator that reads them (`fields`, `tokens`, `factorization`, `count`) says how.
/// A feature that is a list has a token for each of its ids. A value of a list has its vectors for
/// each token of a chunk instead of each sample: [tokens, columns], ragged.
struct value_shape {
  std::size_t fields = 1;
  std::size_t dim = 1;
  bool rows = false;
  std::size_t first_order = 0;            // of rows: columns in front that are weights, not vectors
  std::vector<std::uint32_t> lists = {};  // of rows: lists that look up there
  std::optional<std::uint32_t> list = std::nullopt;  // whose tokens have the vectors

  std::size_t columns() const { return fields * dim; }
  friend bool operator==(const value_shape&, const value_shape&) = default;
};

/// A chunk of a batch: its samples, and the most tokens that a list of theirs has in it.
struct chunk_size {
  std::size_t samples = 0;
  std::size_t tokens = 0;

  std::size_t rows(const value_shape& shape) const { return shape.list ? tokens : samples; }
  std::size_t floats(const value_shape& shape) const { return rows(shape) * shape.columns(); }
};

/// "26 x 16", "429", or "64 a token".
inline std::string describe(const value_shape& shape) {
  const std::string each = shape.list ? " a token" : "";
  if (shape.fields == 1) return std::to_string(shape.dim) + each;
  return std::to_string(shape.fields) + " x " + std::to_string(shape.dim) + each;
}

}  // namespace headrace::worker
