#pragma once

#include "base/ids.hpp"
#include "ps/table/row_shape.hpp"
#include "schemas/hash.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headrace::ps {

/// Two order-free digests: the sum modulo 2^128 of one xxh3-128 for each row, seeded with the
/// table's id.
struct table_digest {
  schemas::hash128 all;  // over key ‖ payload (weights, optimizer state) ‖ count, little-endian
  schemas::hash128 weights;  // over key ‖ weights
  std::uint64_t rows = 0;

  /// Adds one row; `scratch` is reused between calls.
  void add(table_id table,
           const row_shape& shape,
           std::uint64_t key,
           std::span<const std::byte> payload,
           std::uint32_t count,
           std::vector<std::byte>& scratch);
};

}  // namespace headrace::ps
