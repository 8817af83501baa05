#pragma once

#include "schemas/schema.hpp"

#include <cstddef>

namespace headrace::ps {

/// Where things lie in a row's payload: weights in the table's stored codec, then optimizer state
/// as f32. The same bytes in DRAM, in the row store and in checkpoints.
///
///     fp32        dim × f32
///     fp16, bf16  dim × 2 bytes, zeros to 4
///     int8        fp16 scale, 2 zero bytes, dim codes, zeros to 4
///     state       momentum m[dim]; adagrad a[dim]; rowwise_adagrad a; adam, adamw m[dim], v[dim],
///                 steps (u32 bits); ftrl z[dim], n[dim]
struct row_shape {
  explicit row_shape(const schemas::table_spec& spec);

  std::size_t dim;
  schemas::value_codec stored;
  std::size_t weight_bytes;   // a multiple of 4
  std::size_t state_floats;   // 32-bit words behind the weights
  std::size_t payload_bytes;  // weight_bytes + 4 * state_floats
};

}  // namespace headrace::ps
