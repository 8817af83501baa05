#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "storage/ordered_log.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

/// The bytes of one log record, frozen (docs/adr/0001, docs/storage-format.md):
///
///     header [64] | decisions | zeros to 8 | payload | zeros to 8
///
/// A record starts on an 8-byte boundary of its file, and so does its payload: a section decodes in
/// place.
namespace headrace::storage {

inline constexpr std::size_t record_header_bytes = 64;
/// Largest `decisions` and largest `payload` that are appended; more is refused as `too_large`.
inline constexpr std::size_t record_part_bytes_max = std::size_t{1} << 30;

/// `bytes` rounded up to the next multiple of 8.
constexpr std::uint64_t padded(std::uint64_t bytes) { return (bytes + 7) & ~std::uint64_t{7}; }

/// The fixed part of a record. `header_crc` is not a field here: encode writes it, decode checks
/// it.
struct record_header {
  record_kind kind = record_kind::push;
  errc reason = errc::ok;
  headrace::lsn lsn;
  headrace::epoch epoch{1};
  std::uint64_t stamp_ms = 0;
  std::uint32_t schema_version = 1;
  std::uint32_t decisions_bytes = 0;
  std::uint32_t payload_bytes = 0;
  std::uint32_t body_crc = 0;   // CRC32C of everything behind the header, padding included
  std::uint64_t prev_hash = 0;  // xxh3-64 of the previous record's 64 header bytes; 0 for the first

  /// Bytes behind the header.
  std::uint64_t body_bytes() const { return padded(decisions_bytes) + padded(payload_bytes); }
  /// Bytes of the whole record in the file.
  std::uint64_t record_bytes() const { return record_header_bytes + body_bytes(); }
  friend bool operator==(const record_header&, const record_header&) = default;
};

using header_bytes = std::array<std::byte, record_header_bytes>;

/// Header of `record` behind a record whose header hashes to `prev_hash`; computes the body's CRC.
record_header describe_record(const log_record& record, std::uint64_t prev_hash);
header_bytes encode_header(const record_header& header);
/// Fails: corrupt (not a record, header checksum, flags of a later version), in words that fit
/// behind "record 7: ".
result<record_header> decode_header(std::span<const std::byte, record_header_bytes> bytes);
/// What the next record's `prev_hash` must be.
std::uint64_t chain_hash(std::span<const std::byte, record_header_bytes> bytes);
/// True when `body`, [header.body_bytes()], is what was written.
bool body_matches(const record_header& header, std::span<const std::byte> body);
/// The record of a header and its body, whose memory `keeper` keeps and the record shares.
log_record record_of(const record_header& header,
                     std::span<const std::byte> body,
                     const std::shared_ptr<const void>& keeper);

}  // namespace headrace::storage
