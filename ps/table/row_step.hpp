#pragma once

#include "ps/table/row_header.hpp"
#include "ps/table/row_shape.hpp"
#include "schemas/push.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

/// What happens to the payloads of rows: values a row starts with, the optimizer's step, and
/// weights as floats. Headers, presence and bookkeeping are ps/table/row_update.hpp's business.
/// Bit-exact on every target and compiler under the thread's float mode.
namespace headrace::ps {

/// Writes the initial payload of rows (headers' keys name them): weights from the counter-based
/// generator, rounded to the stored codec; optimizer state as the optimizer begins.
void init_payloads(const schemas::table_spec& spec,
                   const row_shape& shape,
                   std::span<row_header* const> rows);

/// One optimizer step on rows [first, first + rows.size()) of the block; `rows[i]` is the row of
/// `block.keys[first + i]`, present and pairwise different. The block's codec is one of rows.
/// Compact weights are widened to f32, stepped, and rounded back: stochastically, from a
/// counter-based generator keyed by (init seed, key, header.count), for bf16, fp16 and int8.
/// `header.count` already counts this push. The optimizer's rates are multiplied by `rate_share`,
/// above 0.
void step_rows(const schemas::table_spec& spec,
               const row_shape& shape,
               std::span<row_header* const> rows,
               const schemas::row_block& block,
               std::size_t first,
               float rate_share = 1.0F);

/// Weights of rows as f32 [rows, dim].
void widen_weights(const row_shape& shape,
                   std::span<const row_header* const> rows,
                   std::span<float> to);

}  // namespace headrace::ps
