#include "base/check.hpp"
#include "storage/archived_checkpoint.hpp"
#include "storage/checkpoint_manifest.hpp"
#include "storage/crc32c.hpp"
#include "storage/manifest_text.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>
#include <string>
#include <string_view>

/// CHECKPOINT, and the manifest of a checkpoint in an archive. The mutator writes a last line whose
/// checksum fits.
namespace {

using namespace headrace;
using namespace headrace::storage;

constexpr std::string_view checksum_word = "# crc32c ";

template <class Parse, class Format>
void must_survive_text(const std::string& text, Parse parse, Format format) {
  const auto got = parse(text, "fuzz");
  if (!got) {
    CHECK(!got.error().detail.empty());
    return;
  }
  const auto again = parse(format(*got), "fuzz");
  CHECK(again.ok());
  CHECK(*again == *got);
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data,
                                               std::size_t size,
                                               std::size_t size_max,
                                               unsigned seed) {
  size = LLVMFuzzerMutate(data, size, size_max);
  if (seed % 8 == 0) return size;
  std::string text(reinterpret_cast<const char*>(data), size);
  if (const auto at = text.rfind(checksum_word); at != std::string::npos) text.resize(at);
  const auto crc = crc32c(std::as_bytes(std::span(text)));
  text += std::string(checksum_word) + hex_number(crc, 8) + "\n";
  if (text.size() > size_max) return size;
  std::copy(text.begin(), text.end(), data);
  return text.size();
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  must_survive_text(text, parse_manifest, format_manifest);
  must_survive_text(text, parse_archived, format_archived);
  return 0;
}
