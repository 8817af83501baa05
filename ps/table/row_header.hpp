#pragma once

#include <cstdint>

namespace headrace::ps {

/// Header in front of a row's floats; with them one record, never split (design §4).
struct row_header {
  std::uint64_t key;
  std::uint64_t lsn;  // last record applied to this row
  std::uint64_t last_seen_ms;
  std::uint32_t count;  // occurrences pushed, saturating
  std::uint32_t flags;
};
static_assert(sizeof(row_header) == 32);

}  // namespace headrace::ps
