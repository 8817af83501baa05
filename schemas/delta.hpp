#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "schemas/schema.hpp"
#include "schemas/value_codec.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

/// Deltas: what a shard changed, as absolute rows under one version (design §8).
namespace headrace::schemas {

/// What the blocks of a delta mean. A reader takes its own and older ones and refuses a newer one
/// by name.
inline constexpr std::uint16_t delta_format = 1;

/// Rows and dense blocks of one table, at most 65,536 each: `keys` with their newest values, `gone`
/// without a row any more. Both strictly ascending.
struct delta_block {
  table_id table;
  std::uint32_t dim = 0;
  value_codec codec = value_codec::int8;  // a row codec
  std::span<const std::uint64_t> keys;
  std::span<const std::uint16_t> scales;  // [keys] for int8
  std::span<const std::byte> values;      // [keys, dim]
  std::span<const std::uint64_t> gone;
};

/// How the rows of each table travel, which both ends know: int8 for tables of 8 columns and more,
/// fp32 for narrower ones.
std::vector<value_codec> delta_codecs(const job_schema& schema);

/// One message of a session, the stream from one shard to one subscriber. A session begins at
/// number 1 with nothing and sends every row; newer sessions have larger numbers of their own.
///
/// Numbers never name two deltas: what got lost is sent again, newer, under the next number, and
/// `follows` then is not the number before. `lsn` and `version` are a promise: every change through
/// them has been sent, in this or an earlier delta of the session. Rows may be newer.
struct delta {
  shard_id shard;
  headrace::epoch epoch{1};
  std::uint32_t schema_version = 1;
  /// Every row that was there when the session began has been sent; until then `lsn` and `version`
  /// are 0.
  bool whole = false;
  std::uint64_t session = 0;
  std::uint64_t number = 0;
  std::uint64_t follows = 0;  // whoever has everything through that number can take it
  headrace::lsn lsn;
  std::uint64_t version = 0;
  std::uint64_t accepted_ms = 0;   // events accepted before it are in `version`; since 1970 UTC
  std::uint64_t head_version = 0;  // of the shard when this was built
  std::vector<delta_block> blocks;
  frame bytes;  // decode only
  /// Keys, which are packed in the frame: decode only.
  std::shared_ptr<const std::deque<std::vector<std::uint64_t>>> unpacked;
};

/// Keys of all blocks together that a delta has at most, gone ones too.
inline constexpr std::uint64_t delta_rows_max = 262'144;

/// A delta above the limits, or with values of another size, is a bug in the caller.
frame encode(const delta& message);
/// Fails: corrupt (the checksum does not fit: some bit is not as it was sent), bad_protocol (of
/// protocol and format, both named), malformed, too_large.
result<delta> decode_delta(const frame& bytes);

/// The checksum that a delta of these bytes must carry in bytes 16 … 24, which do not count:
/// xxh3-64 of what follows, mixed with the word before. `bytes` has at least 24.
std::uint64_t delta_checksum(std::span<const std::byte> bytes);

}  // namespace headrace::schemas
