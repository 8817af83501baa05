#include "storage/row_codec.hpp"

#include "storage/crc32c.hpp"
#include "storage/little_endian.hpp"

#include <algorithm>
#include <cstring>

namespace headrace::storage {
namespace {

constexpr std::size_t position_header_bytes = 32;
constexpr std::uint32_t position_format_version = 1;

template <class Number>
void put_big_endian(std::span<std::byte> bytes, std::size_t offset, Number number) {
  for (std::size_t i = 0; i < sizeof(Number); ++i) {
    bytes[offset + i] = static_cast<std::byte>(number >> (8 * (sizeof(Number) - 1 - i)));
  }
}

template <class Number>
Number take_big_endian(std::span<const std::byte> bytes, std::size_t offset) {
  Number number = 0;
  for (std::size_t i = 0; i < sizeof(Number); ++i) {
    number = static_cast<Number>(number << 8) | static_cast<Number>(bytes[offset + i]);
  }
  return number;
}

}  // namespace

std::array<std::byte, row_key_bytes> encode_row_key(shard_id shard, table_id table, row_key key) {
  std::array<std::byte, row_key_bytes> bytes{};
  put_big_endian(bytes, 0, shard.value);
  put_big_endian(bytes, 4, table.value);
  put_big_endian(bytes, 8, key.value);
  return bytes;
}

void encode_row(const stored_row& row, std::vector<std::byte>& value) {
  value.resize(row_header_bytes + row.payload.size());
  put(value, 0, row.lsn.value);
  put(value, 8, row.last_seen_ms);
  put(value, 16, row.count);
  put(value, 20, row.flags);
  if (row.payload.empty()) return;  // memcpy takes no null
  std::memcpy(value.data() + row_header_bytes, row.payload.data(), row.payload.size());
}

std::string encode_position(const shard_position& position) {
  std::string value(position_header_bytes + position.state.size(), '\0');
  const auto bytes = std::as_writable_bytes(std::span(value));
  put(bytes, 0, position_format_version);
  put(bytes, 8, position.flushed.value);
  put(bytes, 16, position.epoch.value);
  put(bytes, 24, static_cast<std::uint64_t>(position.state.size()));
  std::ranges::copy(position.state, bytes.begin() + position_header_bytes);
  put(bytes, 4, crc32c(bytes.subspan(8)));
  return value;
}

result<shard_position> decode_position(std::span<const std::byte> bytes) {
  if (bytes.size() < position_header_bytes)
    return error{errc::corrupt, "a shard's position is cut short"};
  if (const auto version = take<std::uint32_t>(bytes, 0); version != position_format_version) {
    return error{errc::corrupt,
                 "a shard's position has format version " + std::to_string(version) +
                     ", this headrace reads 1"};
  }
  if (take<std::uint32_t>(bytes, 4) != crc32c(bytes.subspan(8)) ||
      take<std::uint64_t>(bytes, 24) != bytes.size() - position_header_bytes) {
    return error{errc::corrupt, "the checksum of a shard's position does not match"};
  }
  shard_position position;
  position.flushed = lsn{take<std::uint64_t>(bytes, 8)};
  position.epoch = epoch{take<std::uint64_t>(bytes, 16)};
  const auto state = bytes.subspan(position_header_bytes);
  position.state.assign(state.begin(), state.end());
  return position;
}

bool row_decoder::decode(std::span<const std::byte> key, std::span<const std::byte> value) {
  if (key.size() != row_key_bytes || value.size() < row_header_bytes || value.size() % 4 != 0) {
    return false;
  }
  row_.table = table_of(key);
  row_.key = row_key{take_big_endian<std::uint64_t>(key, 8)};
  row_.lsn = lsn{take<std::uint64_t>(value, 0)};
  row_.last_seen_ms = last_seen_of(value);
  row_.count = take<std::uint32_t>(value, 16);
  row_.flags = take<std::uint32_t>(value, 20);
  row_.payload = {};
  if (value.size() == row_header_bytes) return true;
  row_.payload = value.subspan(row_header_bytes);
  if (reinterpret_cast<std::uintptr_t>(row_.payload.data()) % 4 == 0) return true;
  aligned_.resize(row_.payload.size() / 4);  // values lie anywhere in their block
  std::memcpy(aligned_.data(), row_.payload.data(), row_.payload.size());
  row_.payload = std::as_bytes(std::span(aligned_));
  return true;
}

table_id table_of(std::span<const std::byte> key) {
  return table_id{take_big_endian<std::uint32_t>(key, 4)};
}

std::uint64_t last_seen_of(std::span<const std::byte> value) {
  return take<std::uint64_t>(value, 8);
}

}  // namespace headrace::storage
