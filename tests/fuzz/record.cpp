#include "storage/checkpoint_manifest.hpp"
#include "storage/record_codec.hpp"
#include "storage/rocks_row_store.hpp"

#include <algorithm>
#include <cstdlib>

/// Bytes from disk: record headers and bodies, positions, manifests. A header that decodes must
/// encode to the same bytes.
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

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span<const std::byte> bytes{reinterpret_cast<const std::byte*>(data), size};
  read_record(bytes);
  (void)decode_position(bytes);
  (void)parse_manifest(std::string(reinterpret_cast<const char*>(data), size), "fuzz");
  return 0;
}
