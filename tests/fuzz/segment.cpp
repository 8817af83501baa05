#include "base/check.hpp"
#include "storage/crc32c.hpp"
#include "storage/record_codec.hpp"
#include "storage/segment_cursor.hpp"
#include "storage/segment_files.hpp"
#include "tests/fuzz/file_in_memory.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <cstring>

/// A whole log segment file: its header, then each record as the cursor that opens, replays and
/// inspects logs reads it. The mutator makes checksums and the chain fit most of the time, or
/// nothing but refusals would be tried.
namespace {

using namespace headrace;
using namespace headrace::storage;

constexpr std::size_t crc_offset = 60;

std::span<std::byte> writable(std::uint8_t* data, std::size_t size) {
  return std::as_writable_bytes(std::span(data, size));
}

template <class Number>
Number number_at(std::span<const std::byte> bytes, std::size_t offset) {
  Number number{};
  std::memcpy(&number, bytes.data() + offset, sizeof number);
  return number;
}

void put_crc(std::span<std::byte> header) {
  const std::uint32_t crc = crc32c(header.first(crc_offset));
  std::memcpy(header.data() + crc_offset, &crc, sizeof crc);
}

// Gives the file header and every record that its lengths reach the checksums, number and chain
// that they should have.
void mend(std::span<std::byte> file) {
  if (file.size() < segment_header_bytes) return;
  put_crc(file.first(segment_header_bytes));
  auto lsn = number_at<std::uint64_t>(file, 16);
  auto chain = number_at<std::uint64_t>(file, 24);
  std::size_t at = segment_header_bytes;
  while (at + record_header_bytes <= file.size()) {
    const auto head = file.subspan(at, record_header_bytes);
    const std::uint64_t body =
        padded(number_at<std::uint32_t>(head, 36)) + padded(number_at<std::uint32_t>(head, 40));
    std::memcpy(head.data() + 8, &lsn, sizeof lsn);
    std::memcpy(head.data() + 48, &chain, sizeof chain);
    if (body > file.size() - at - record_header_bytes) {
      put_crc(head);
      return;  // a torn tail
    }
    const std::uint32_t body_crc = crc32c(file.subspan(at + record_header_bytes, body));
    std::memcpy(head.data() + 44, &body_crc, sizeof body_crc);
    put_crc(head);
    chain = chain_hash(std::span<const std::byte, record_header_bytes>(head));
    ++lsn;
    at += record_header_bytes + body;
  }
}

void read_records(const std::string& path, const segment_header& header, std::size_t size) {
  auto cursor =
      segment_cursor::open(path, segment_header_bytes, size, header.first, header.prev_hash);
  CHECK(cursor.ok());
  log_record record;
  std::uint64_t due = header.first.value;
  while (true) {
    const std::uint64_t before = cursor->offset();
    const auto found = cursor->next(record);
    if (!found) {
      CHECK(found.error().code == errc::corrupt);
      CHECK(!found.error().detail.empty());
      return;
    }
    if (*found != segment_cursor::found::record) return;
    CHECK(record.lsn.value == due++);
    CHECK(cursor->offset() == before + record_header_bytes + padded(record.decisions.size()) +
                                  padded(record.payload.size()));
    CHECK(cursor->offset() <= size);
  }
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data,
                                               std::size_t size,
                                               std::size_t size_max,
                                               unsigned seed) {
  size = LLVMFuzzerMutate(data, size, size_max);
  if (seed % 8 != 0) mend(writable(data, size));
  return size;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::file_in_memory file;
  if (size < segment_header_bytes) return 0;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto header = decode_segment_header(bytes.first<segment_header_bytes>());
  if (!header) {
    CHECK(!header.error().detail.empty());
    return 0;
  }
  file.set(data, size);
  read_records(file.path(), *header, size);
  return 0;
}
