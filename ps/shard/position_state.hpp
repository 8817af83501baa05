#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headrace::ps {

/// What a shard's position in the row store keeps beside the rows, as of the record it names
/// (docs/storage-format.md). Without it the log would have to be read from its beginning.
struct position_state {
  std::uint64_t version = 0;          // pushes applied
  std::uint64_t stamp_ms = 0;         // newest stamp given
  std::uint64_t rows = 0;             // in the tables, for people
  std::vector<std::byte> watermarks;  // push_rule::save
  /// Admission sketches and quarantine: what `decide` goes by.
  std::vector<std::byte> judgement = {};
  /// Pushes computed from an older version are stale: rows were put in place at once since.
  std::uint64_t oldest_version = 0;
};

std::vector<std::byte> encode_position_state(const position_state& state);
/// Fails: corrupt.
result<position_state> decode_position_state(std::span<const std::byte> bytes, shard_id shard);

}  // namespace headrace::ps
