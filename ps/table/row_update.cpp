#include "ps/table/row_update.hpp"

#include "ps/table/decoded_rows.hpp"
#include "ps/table/row_step.hpp"

#include <algorithm>
#include <array>

namespace headrace::ps {
namespace {

// Rows found before they are updated: their headers are still in the first-level cache by then, and
// the pipeline of prefetches is seldom drained (ps/shard/shard.bench.cpp).
constexpr std::size_t chunk_rows = 512;

void touch(row_header& row, std::uint32_t occurrences, lsn at, std::uint64_t stamp_ms) {
  row.lsn = at.value;
  row.last_seen_ms = stamp_ms;
  row.count = occurrences > UINT32_MAX - row.count ? UINT32_MAX : row.count + occurrences;
  if ((row.flags & row_flag::referenced) != row_flag::referenced)
    row.flags += row_flag::referenced_once;
}

/// The row as if it had just been made.
void begin_anew(table& of, row_header& row) {
  row.count = 0;
  of.set_removed(row, false);
  row_header* const one = &row;
  init_payloads(of.spec(), of.shape(), {&one, 1});
}

/// Rows [begin, begin + size) of the block, all admitted.
void update_chunk(table& rows,
                  const schemas::row_block& block,
                  std::size_t begin,
                  std::size_t size,
                  lsn at,
                  std::uint64_t stamp_ms,
                  float rate_share) {
  std::array<row_header*, chunk_rows> headers;
  rows.find_or_make(block.keys.subspan(begin, size), std::span(headers).first(size));
  rows.used(size, stamp_ms);
  const std::uint64_t ttl_ms = rows.spec().expiry.idle_ms();
  const auto older = [&](std::size_t i) { return headers[i]->lsn < at.value; };
  for (std::size_t i = 0; i < size;) {
    const std::size_t first = i;
    for (; i < size && older(i); ++i) {
      row_header& row = *headers[i];
      if (!is_live(row, stamp_ms, ttl_ms)) begin_anew(rows, row);
      touch(row, block.counts.empty() ? 1 : block.counts[begin + i], at, stamp_ms);
      rows.mark_dirty(row);
    }
    if (i > first) {
      step_rows(rows.spec(),
                rows.shape(),
                std::span(headers).subspan(first, i - first),
                block,
                begin + first,
                rate_share);
    }
    while (i < size && !older(i)) ++i;
  }
}

/// Stretch by stretch, as if each were a block.
void update_decoded(table& rows,
                    const schemas::row_block& block,
                    const row_admissions& admitted,
                    lsn at,
                    std::uint64_t stamp_ms,
                    float rate_share) {
  decoded_rows decoded(block);
  std::size_t begin = 0;
  while (const std::size_t size = decoded.rows_from(begin)) {
    const row_admissions theirs{admitted.bits, admitted.first + begin};
    update_rows(rows, decoded.take(begin), theirs, at, stamp_ms, rate_share);
    begin += size;
  }
}

}  // namespace

void update_rows(table& rows,
                 const schemas::row_block& block,
                 const row_admissions& admitted,
                 lsn at,
                 std::uint64_t stamp_ms,
                 float rate_share) {
  if (!schemas::is_row_codec(block.codec))
    return update_decoded(rows, block, admitted, at, stamp_ms, rate_share);
  const std::size_t n = block.keys.size();
  for (std::size_t begin = 0; begin < n;) {
    if (!admitted.all() && !admitted[begin]) {
      ++begin;
      continue;
    }
    std::size_t end = std::min(n, begin + chunk_rows);
    if (!admitted.all()) {
      end = begin + 1;
      while (end < n && end - begin < chunk_rows && admitted[end]) ++end;
    }
    update_chunk(rows, block, begin, end - begin, at, stamp_ms, rate_share);
    begin = end;
  }
}

void remove_rows(table& rows, std::span<const std::uint64_t> keys, lsn at) {
  for (const std::uint64_t key : keys) {
    row_header* row = rows.find(key);
    if (row == nullptr) row = rows.make(key);
    if (row->lsn >= at.value) continue;
    row->lsn = at.value;
    row->count = 0;
    rows.set_removed(*row, true);
    rows.mark_dirty(*row);
  }
}

}  // namespace headrace::ps
