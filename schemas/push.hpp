#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "schemas/value_layout.hpp"

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Pushes: quantized sparse gradients of one sealed batch for one shard and lane (design §4, §6).
namespace headrace::schemas {

/// Rows of embedding tables, or dense blocks (rows of tables whose key is the block's index); each
/// lane has its own chain of batches.
enum class lane : std::uint8_t { rows = 0, dense = 1 };

/// A stream partition with its generation, written `name#3`.
struct source_id {
  std::string name;  // 1 … 64 bytes of [A-Za-z0-9_.-]
  std::uint32_t generation = 1;
  friend auto operator<=>(const source_id&, const source_id&) = default;
};
std::string to_string(const source_id& source);
/// True for 1 … 64 bytes of [A-Za-z0-9_.-].
bool is_source_name(std::string_view name);

/// How keys and counts of a pushed block travel: as they are, or as schemas/packed_numbers.hpp.
enum class key_codec : std::uint8_t { raw = 0, delta_packed = 1 };

/// Rows of one table, views into the frame (or into the caller's memory when encoding).
///
/// keys [rows] strictly ascending; counts [rows] occurrences of the key in the batch, or empty when
/// each is 1. fp32: values [rows, dim] f32. int8: scales [rows] fp16 bits, values [rows, dim] i8.
/// fp16, bf16: values [rows, dim] 16-bit. topk and int4: values and scales of all rows × dim values
/// as schemas/value_layout.hpp says.
struct row_block {
  table_id table;
  std::uint32_t dim = 0;
  value_codec codec = value_codec::fp32;
  std::span<const std::uint64_t> keys;
  std::span<const std::uint32_t> counts;
  std::span<const std::uint16_t> scales;
  std::span<const std::byte> values;
  key_codec keys_as = key_codec::raw;

  std::uint64_t cells() const { return std::uint64_t{keys.size()} * dim; }
  std::span<const float> fp32_values() const {
    return {reinterpret_cast<const float*>(values.data()), values.size() / sizeof(float)};
  }
  std::span<const std::int8_t> int8_codes() const {
    return {reinterpret_cast<const std::int8_t*>(values.data()), values.size()};
  }
  /// Bits of fp16 or bf16 values.
  std::span<const std::uint16_t> half_words() const {
    return {reinterpret_cast<const std::uint16_t*>(values.data()), values.size() / 2};
  }
};

/// Keys and counts that did not lie in the frame as such.
struct unpacked_rows {
  std::vector<std::uint64_t> keys;
  std::vector<std::uint32_t> counts;
};

/// True when counts, scales and values have the sizes that the keys, dim and codec ask for, the
/// codec being a known one; of topk also that it chooses no more than there is.
bool sizes_fit(const row_block& block);

inline constexpr std::uint64_t source_ended_ms = UINT64_MAX;

/// One push for one (shard, source, lane). `blocks` empty = an *advance*: the shard has no keys in
/// (prev, batch]. The push rule reads (source, lane, batch, prev): see ps/shard/push_rule.hpp.
struct push_section {
  headrace::epoch epoch{1};
  std::uint32_t schema_version = 1;
  shard_id shard;
  source_id source;
  schemas::lane lane = schemas::lane::rows;
  batch_number batch;
  batch_number prev;
  std::uint64_t pulled_version = 0;  // of this shard, when the rows were pulled
  std::uint64_t event_time_ms = 0;   // newest event in the batch, for freshness; 0 = unknown
  /// Every event of the source accepted before it is in this batch or an earlier one; since 1970
  /// UTC, 0 = unknown. `source_ended_ms`: none will follow.
  std::uint64_t accepted_ms = 0;
  std::vector<row_block> blocks;  // at most one for each table, ascending table id
  frame bytes;                    // decode only: what the block spans point into
  std::shared_ptr<std::deque<unpacked_rows>> unpacked;  // the same, of packed keys
};

/// Rows of blocks with packed keys that a section has at most, all blocks together: what a decoder
/// allocates beyond the frame.
inline constexpr std::uint64_t packed_rows_max = 262'144;

/// Builds the section without an intermediate copy of the block spans' bytes, packed keys apart.
frame encode(const push_section& section);
/// Checks sizes, counts against bytes, codecs and where topk values belong, nothing about tables or
/// values: the shard's gate does. Fails: malformed, too_large, bad_protocol.
result<push_section> decode_push(const frame& bytes);

/// What the acknowledging log can survive; shown in every acknowledgement.
enum class log_mode : std::uint8_t { none = 0, os = 1, fsync = 2 };
/// As job files spell them.
std::string_view name(log_mode mode);

struct push_ack {
  shard_id shard;
  errc status = errc::ok;           // ok: durable as `mode` says
  std::string detail;               // for a refusal: what, why, what to do
  bool applied = false;             // false for a duplicate or a void record
  batch_number watermark;           // admitted watermark of (source, lane) on this shard
  headrace::lsn lsn;                // of the record; 0 for refusals
  std::uint64_t version = 0;        // pushes applied by this shard
  std::uint64_t slowest_clock = 0;  // G: batch number of the slowest present source
  headrace::epoch epoch{1};
  log_mode mode = log_mode::os;
  std::uint32_t retry_after_ms = 0;  // with `overloaded`
  schemas::lane lane =
      schemas::lane::rows;  // of the section; a refusal that asks for patience may not say
  friend bool operator==(const push_ack&, const push_ack&) = default;
};

frame encode(const push_ack& ack);
result<push_ack> decode_push_ack(const frame& bytes);

}  // namespace headrace::schemas
