#pragma once

#include "ps/table/table.hpp"
#include "schemas/hash.hpp"

namespace headrace::ps {

/// Two order-free digests: the sum modulo 2^128 of one xxh3-128 for each row, seeded with the
/// table's id.
struct table_digest {
  schemas::hash128 all;      // over key ‖ weights ‖ optimizer state ‖ count, little-endian
  schemas::hash128 weights;  // over key ‖ weights
};

/// Adds the rows of `rows` to `sum`, so that one digest can span the tables of a shard.
void add_rows(const table& rows, table_digest& sum);

}  // namespace headrace::ps
