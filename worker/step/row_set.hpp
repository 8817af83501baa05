#pragma once

#include "base/ids.hpp"
#include "schemas/push.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace headrace::worker {

/// The rows of one table that one batch needs: unique keys ascending, where each occurrence points,
/// the rows as pulled and the gradients to push. Buffers are reused from batch to batch.
struct row_set {
  table_id table;
  schemas::lane lane = schemas::lane::rows;  // in which its gradients are pushed
  std::size_t dim = 1;
  std::size_t block_rows = 0;  // so many rows are pushed if one has a gradient; 0: all always
  std::vector<std::uint64_t> keys;     // [u] strictly ascending
  std::vector<std::uint32_t> counts;   // [u] occurrences in the batch
  std::vector<std::uint32_t> inverse;  // [n * features] index into keys
  std::uint32_t features = 0;          // of a sample that look up rows here
  std::vector<float> factors;          // [n * features] what a row is multiplied by; empty = 1
  std::vector<float> values;           // [u * dim] as pulled
  std::vector<float> gradients;        // [u * dim] summed over the batch
  std::vector<std::uint8_t> absent;    // [u] 1 where the row did not exist yet

  std::size_t rows() const { return keys.size(); }
  /// For `keys` and `dim`: gradients zero; values and flags are the last batch's until a pull
  /// overwrites each.
  void size_buffers() {
    values.resize(keys.size() * dim);
    gradients.assign(keys.size() * dim, 0.0F);
    absent.resize(keys.size());
  }
};

}  // namespace headrace::worker
