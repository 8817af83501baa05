#include "storage/record_codec.hpp"

#include "base/check.hpp"
#include "schemas/hash.hpp"
#include "storage/crc32c.hpp"
#include "storage/little_endian.hpp"

#include <algorithm>
#include <string>

namespace headrace::storage {
namespace {

constexpr std::uint32_t magic = 0x31525248;  // "HRR1"
constexpr std::size_t crc_offset = 60;

// CRC of `bytes` and of the zeros that pad them to 8.
std::uint32_t padded_crc(std::span<const std::byte> bytes, std::uint32_t before) {
  static constexpr std::array<std::byte, 8> zeros{};
  const std::size_t fill = padded(bytes.size()) - bytes.size();
  return crc32c(std::span(zeros).first(fill), crc32c(bytes, before));
}

}  // namespace

record_header describe_record(const log_record& record, std::uint64_t prev_hash) {
  CHECK(record.decisions.size() <= record_part_bytes_max);
  CHECK(record.payload.size() <= record_part_bytes_max);
  record_header header;
  header.kind = record.kind;
  header.reason = record.reason;
  header.lsn = record.lsn;
  header.epoch = record.epoch;
  header.stamp_ms = record.stamp_ms;
  header.schema_version = record.schema_version;
  header.decisions_bytes = static_cast<std::uint32_t>(record.decisions.size());
  header.payload_bytes = static_cast<std::uint32_t>(record.payload.size());
  header.body_crc = padded_crc(record.payload.bytes(), padded_crc(record.decisions.bytes(), 0));
  header.prev_hash = prev_hash;
  return header;
}

header_bytes encode_header(const record_header& header) {
  header_bytes bytes{};
  put(bytes, 0, magic);
  put(bytes, 4, static_cast<std::uint16_t>(header.kind));
  put(bytes, 6, static_cast<std::uint16_t>(header.reason));
  put(bytes, 8, header.lsn.value);
  put(bytes, 16, header.epoch.value);
  put(bytes, 24, header.stamp_ms);
  put(bytes, 32, header.schema_version);
  put(bytes, 36, header.decisions_bytes);
  put(bytes, 40, header.payload_bytes);
  put(bytes, 44, header.body_crc);
  put(bytes, 48, header.prev_hash);
  put(bytes, 56, std::uint32_t{0});  // flags
  put(bytes, crc_offset, crc32c(std::span(bytes).first(crc_offset)));
  return bytes;
}

result<record_header> decode_header(std::span<const std::byte, record_header_bytes> bytes) {
  if (take<std::uint32_t>(bytes, 0) != magic) return error{errc::corrupt, "no record begins here"};
  if (take<std::uint32_t>(bytes, crc_offset) != crc32c(bytes.first(crc_offset))) {
    return error{errc::corrupt, "the header's checksum does not match"};
  }
  if (take<std::uint32_t>(bytes, 56) != 0) {
    return error{errc::corrupt,
                 "the header has flags of a later version of headrace; read it with that version"};
  }
  record_header header;
  header.kind = static_cast<record_kind>(take<std::uint16_t>(bytes, 4));
  header.reason = static_cast<errc>(take<std::uint16_t>(bytes, 6));
  header.lsn = lsn{take<std::uint64_t>(bytes, 8)};
  header.epoch = epoch{take<std::uint64_t>(bytes, 16)};
  header.stamp_ms = take<std::uint64_t>(bytes, 24);
  header.schema_version = take<std::uint32_t>(bytes, 32);
  header.decisions_bytes = take<std::uint32_t>(bytes, 36);
  header.payload_bytes = take<std::uint32_t>(bytes, 40);
  header.body_crc = take<std::uint32_t>(bytes, 44);
  header.prev_hash = take<std::uint64_t>(bytes, 48);
  return header;
}

std::uint64_t chain_hash(std::span<const std::byte, record_header_bytes> bytes) {
  return schemas::hash64(bytes);
}

bool body_matches(const record_header& header, std::span<const std::byte> body) {
  return body.size() == header.body_bytes() && crc32c(body) == header.body_crc;
}

log_record record_of(const record_header& header,
                     std::span<const std::byte> body,
                     const std::shared_ptr<const void>& keeper) {
  log_record made;
  made.lsn = header.lsn;
  made.epoch = header.epoch;
  made.stamp_ms = header.stamp_ms;
  made.schema_version = header.schema_version;
  made.kind = header.kind;
  made.reason = header.reason;
  if (header.decisions_bytes > 0)
    made.decisions = frame::sharing(body.first(header.decisions_bytes), keeper);
  if (header.payload_bytes > 0) {
    made.payload =
        frame::sharing(body.subspan(padded(header.decisions_bytes), header.payload_bytes), keeper);
  }
  return made;
}

}  // namespace headrace::storage
