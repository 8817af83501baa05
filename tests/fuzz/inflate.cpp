#include "base/inflate.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <string_view>

/// Packed bytes from anyone: a named error, or no more than the bound, whatever it is; a larger
/// bound gives the same bytes.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace;
  if (size == 0) return 0;
  constexpr std::size_t bytes_max = 100'000;
  const auto encoding = static_cast<content_encoding>(data[0] % 3);
  const std::string_view packed(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto got = inflate(encoding, packed, bytes_max);
  if (!got) {
    CHECK(!got.error().detail.empty());
    return 0;
  }
  CHECK(got->size() <= bytes_max);
  const auto exact = inflate(encoding, packed, got->size());
  CHECK(exact.ok());
  CHECK(*exact == *got);
  if (!got->empty())
    CHECK(inflate(encoding, packed, got->size() - 1).error().code == errc::too_large);
  return 0;
}
