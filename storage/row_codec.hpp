#pragma once

#include "base/result.hpp"
#include "storage/row_store.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

/// Keys and values of rows and positions, to the byte: docs/storage-format.md, "Rows".
namespace headrace::storage {

inline constexpr std::size_t row_key_bytes = 16;
inline constexpr std::size_t row_header_bytes = 24;
/// Behind every table, so that a position is the last key of its shard.
inline constexpr table_id position_table{0xFFFFFFFF};

/// Key of a row: shard, table, key, big-endian, so that bytes sort as numbers do.
std::array<std::byte, row_key_bytes> encode_row_key(shard_id shard, table_id table, row_key key);
/// Value of a row: lsn, last_seen_ms, count, flags, then the payload; little-endian. Replaces what
/// is in `value`, whose memory is used again.
void encode_row(const stored_row& row, std::vector<std::byte>& value);
/// Value of a shard's position.
std::string encode_position(const shard_position& position);
/// Fails: corrupt.
result<shard_position> decode_position(std::span<const std::byte> bytes);

/// Reads rows back. Payloads are given 4-byte aligned, if need be from memory of this object, good
/// until the next call.
class row_decoder {
 public:
  /// False: headrace wrote no such row.
  bool decode(std::span<const std::byte> key, std::span<const std::byte> value);
  /// The row of the last good `decode`.
  const stored_row& row() const { return row_; }

 private:
  stored_row row_;
  std::vector<std::uint32_t> aligned_;
};

/// The table in a row's key, which must be whole.
table_id table_of(std::span<const std::byte> key);
/// `last_seen_ms` in a row's value, which must be whole.
std::uint64_t last_seen_of(std::span<const std::byte> value);

}  // namespace headrace::storage
