#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/ids.hpp"

namespace headrace::worker {

/// The rows of one table that one batch needs: unique keys ascending, where each occurrence points, the rows
/// as pulled and the gradients to push. Buffers are reused from batch to batch.
struct row_set {
  table_id table;
  std::size_t dim = 1;
  std::vector<std::uint64_t> keys;     // [u] strictly ascending
  std::vector<std::uint32_t> counts;   // [u] occurrences in the batch
  std::vector<std::uint32_t> inverse;  // [n * features] index into keys
  std::vector<float> values;           // [u * dim] as pulled
  std::vector<float> gradients;        // [u * dim] summed over the batch
  std::vector<std::uint8_t> absent;    // [u] 1 where the row did not exist yet

  std::size_t rows() const { return keys.size(); }
  void size_buffers() {
    values.assign(keys.size() * dim, 0.0F);
    gradients.assign(keys.size() * dim, 0.0F);
    absent.assign(keys.size(), 0);
  }
};

}  // namespace headrace::worker
