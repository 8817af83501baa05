#pragma once

#include <cstddef>
#include <cstdint>

namespace headrace::ps {

/// Header in front of a row's payload; with it one record, never split (design §4). The payload is
/// laid out by ps/table/row_shape.hpp.
struct row_header {
  std::uint64_t key;
  std::uint64_t lsn;  // last record applied to this row
  std::uint64_t last_seen_ms;
  std::uint32_t count;  // occurrences pushed, saturating
  std::uint32_t flags;  // row_flag bits
};
static_assert(sizeof(row_header) == 32);

/// Bits of row_header::flags. The low 8 are kept with the row; the others live in DRAM only.
namespace row_flag {
inline constexpr std::uint32_t removed = 1U << 0;  // a tombstone: absent, until its delete landed
inline constexpr std::uint32_t stored = 0xFFU;     // mask of what is kept
inline constexpr std::uint32_t dirty = 1U << 8;    // changed since it was last written
inline constexpr std::uint32_t writing = 1U << 9;  // a copy is on its way to the row store
inline constexpr std::uint32_t referenced = 3U << 10;  // uses since the hand passed: 0 … 3
inline constexpr std::uint32_t referenced_once = 1U << 10;
inline constexpr std::uint32_t pinned = 0xFFFU << 12;  // working sets that need it here
inline constexpr std::uint32_t pinned_once = 1U << 12;
inline constexpr std::uint32_t newcomer = 1U << 24;  // eviction has yet to decide (eviction.hpp)
inline constexpr std::uint32_t first_victim = 1U << 25;  // leaves before others do
inline constexpr std::uint32_t free_slot = 1U << 31;     // no row lies here
}  // namespace row_flag

inline std::byte* payload(row_header* row) { return reinterpret_cast<std::byte*>(row + 1); }
inline const std::byte* payload(const row_header* row) {
  return reinterpret_cast<const std::byte*>(row + 1);
}

/// Whether the row answers and learns: not a tombstone, and not idle for longer than `ttl_ms` (0 =
/// no limit) at `stamp_ms`. Pure in the row and the stamp, so replay agrees.
inline bool is_live(const row_header& row, std::uint64_t stamp_ms, std::uint64_t ttl_ms) {
  if ((row.flags & row_flag::removed) != 0) return false;
  return ttl_ms == 0 || stamp_ms <= row.last_seen_ms || stamp_ms - row.last_seen_ms <= ttl_ms;
}

}  // namespace headrace::ps
