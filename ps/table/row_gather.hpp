#pragma once

#include "ps/table/table.hpp"
#include "schemas/pull.hpp"

#include <cstdint>
#include <span>

namespace headrace::ps {

/// Writes the weights of `keys` into the memory of one block of a pull reply, in the block's codec
/// (fp32 or int8).
///
/// A key without a row is answered with its initial value and its bit in `absent`; nothing is
/// created, touched or counted. `to` is as schemas::pull_reply_builder lays it out for these keys.
void gather_rows(const table& rows,
                 std::span<const std::uint64_t> keys,
                 schemas::value_codec codec,
                 const schemas::pulled_block_memory& to);

}  // namespace headrace::ps
