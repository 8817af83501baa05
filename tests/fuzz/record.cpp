#include "storage/crc32c.hpp"
#include "storage/record_codec.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>

/// Header and body of one log record. A header that decodes must encode to the same bytes. The
/// mutator gives most headers the checksum that they should have.
namespace {

using namespace headrace::storage;

void read_record(std::span<const std::byte> bytes) {
  if (bytes.size() < record_header_bytes) return;
  const auto head = bytes.first<record_header_bytes>();
  const auto header = decode_header(head);
  (void)chain_hash(head);
  if (!header) return;
  const auto again = encode_header(*header);
  if (!std::ranges::equal(again, head)) std::abort();
  const auto rest = bytes.subspan(record_header_bytes);
  if (header->body_bytes() <= rest.size())
    (void)body_matches(*header, rest.first(header->body_bytes()));
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data,
                                               std::size_t size,
                                               std::size_t size_max,
                                               unsigned seed) {
  constexpr std::size_t crc_offset = 60;
  size = LLVMFuzzerMutate(data, size, size_max);
  if (seed % 8 == 0 || size < record_header_bytes) return size;
  const std::uint32_t crc = crc32c(std::as_bytes(std::span(data, crc_offset)));
  std::memcpy(data + crc_offset, &crc, sizeof crc);
  return size;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes{reinterpret_cast<const std::byte*>(data), size};
  read_record(bytes);
  return 0;
}
