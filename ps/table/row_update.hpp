#pragma once

#include "base/ids.hpp"
#include "ps/table/table.hpp"
#include "schemas/push.hpp"

#include <cstdint>

namespace headrace::ps {

/// Applies one block of the record at `at` to the rows of its table: an optimizer step on each row
/// with `row.lsn < at`, made first where absent; those rows then carry `at` and `stamp_ms`, and
/// their count grows by the key's occurrences (saturating). Rows that already have `at` stay as
/// they are, so that a record may be applied again after a partial write-back.
///
/// The block has passed ps/shard/gate.hpp: this table, its dim, a known codec, keys strictly
/// ascending. Reads gradients in place. Bit-exact under the thread's float mode.
void update_rows(table& rows, const schemas::row_block& block, lsn at, std::uint64_t stamp_ms);

}  // namespace headrace::ps
