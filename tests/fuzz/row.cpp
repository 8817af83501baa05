#include "base/check.hpp"
#include "storage/row_codec.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

/// Key and value of a stored row: what decodes encodes to the same bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace;
  using namespace headrace::storage;
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto key = bytes.first(std::min(size, row_key_bytes));
  const auto value = bytes.subspan(key.size());
  row_decoder decoder;
  if (!decoder.decode(key, value)) return 0;
  const stored_row& row = decoder.row();
  CHECK(reinterpret_cast<std::uintptr_t>(row.payload.data()) % 4 == 0);
  CHECK(table_of(key) == row.table);
  CHECK(last_seen_of(value) == row.last_seen_ms);
  std::vector<std::byte> again;
  encode_row(row, again);
  CHECK(std::ranges::equal(again, value));
  return 0;
}
