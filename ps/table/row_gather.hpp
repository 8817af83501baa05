#pragma once

#include "ps/table/table.hpp"
#include "schemas/pull.hpp"

#include <cstdint>
#include <span>

namespace headrace::ps {

/// Writes the weights of `keys` into the memory of one block of a pull reply, in the block's codec,
/// rounded to nearest where that is narrower than the table's.
///
/// A key without a live row at `stamp_ms` (never made, removed, or idle for longer than the table's
/// TTL) is answered with its initial value, as a row made now would have it, and its bit in
/// `absent`; nothing is created, touched or counted. `to` is as schemas::pull_reply_builder lays it
/// out for these keys.
void gather_rows(const table& rows,
                 std::span<const std::uint64_t> keys,
                 schemas::value_codec codec,
                 std::uint64_t stamp_ms,
                 const schemas::pulled_block_memory& to);

}  // namespace headrace::ps
