#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

#include <cstdint>
#include <string>

namespace headrace::ps {

/// What put a shard's rows in place at once, by its owner's decision: payload of a record of kind
/// `install` (design §4). It is never redone: the rows it tells of lie in the row store, whose
/// position is this record. To the byte: docs/storage-format.md.
struct installed {
  enum class why : std::uint8_t { rewound = 1, undone = 2 };
  why reason = why::rewound;
  lsn through;                // rows are those of the records up to here …
  std::string without;        // … but for those of this source, for `undone`
  std::uint64_t from_ms = 0;  // and only where they are stamped so or later; 0 = all of them
  std::string base;           // checkpoint that was begun from; empty: the log's beginning
  std::uint64_t digest_low = 0;
  std::uint64_t digest_high = 0;  // of the rows: key, weights, optimizer state and count
  std::uint64_t rows = 0;
  friend bool operator==(const installed&, const installed&) = default;
};

frame encode_installed(const installed& what);
/// Fails: corrupt.
result<installed> decode_installed(std::span<const std::byte> bytes);

}  // namespace headrace::ps
