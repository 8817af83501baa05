#pragma once

#include "base/ids.hpp"
#include "ps/table/table.hpp"
#include "schemas/push.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::ps {

/// Which rows of a record learn: bit i of the record's decisions, or all where it has none.
struct row_admissions {
  std::span<const std::byte> bits = {};  // empty = every row
  std::size_t first = 0;                 // bit of the block's first row

  bool all() const { return bits.empty(); }
  bool operator[](std::size_t row) const {
    const std::size_t bit = first + row;
    return (static_cast<unsigned>(bits[bit / 8]) >> (bit % 8) & 1U) != 0;
  }
};

/// Applies one block of the record at `at` to the rows of its table: an optimizer step on each
/// admitted row with `row.lsn < at`, made first where absent, begun anew where it is a tombstone or
/// idle for longer than the table's ttl at `stamp_ms`. Those rows then carry `at` and `stamp_ms`,
/// their count grows by the key's occurrences (saturating), and they are dirty. Rows that already
/// have `at` stay as they are, so that a record may be applied again after a partial write-back.
///
/// The optimizer's rates are multiplied by `rate_share` (rate_share.hpp).
///
/// The block has passed ps/shard/gate.hpp: this table, its dim, a known codec, keys strictly
/// ascending. Rows that the store has lie in the table already. Reads gradients in place, but for
/// codecs that span rows (decoded_rows.hpp). Bit-exact under the thread's float mode.
void update_rows(table& rows,
                 const schemas::row_block& block,
                 const row_admissions& admitted,
                 lsn at,
                 std::uint64_t stamp_ms,
                 float rate_share = 1.0F);

/// The record at `at` removes `keys`: each becomes a tombstone, whether its row lies here or in the
/// store. Rows that already have `at` stay.
void remove_rows(table& rows, std::span<const std::uint64_t> keys, lsn at);

}  // namespace headrace::ps
