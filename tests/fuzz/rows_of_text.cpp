#include "base/check.hpp"
#include "tests/fuzz/file_in_memory.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "tests/fuzz/text_source.hpp"
#include "worker/ingest/file_source.hpp"

#include <cmath>

/// A delimited file, plain or compressed. The first byte of the input chooses how it is cut. Slow:
/// each reader has buffers of 256 KiB.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace;
  static const fuzz::file_in_memory file;
  if (size < 1) return 0;
  file.set(data + 1, size - 1);
  const auto opened = worker::file_source::open(fuzz::text_source(data[0], file.path()));
  if (!opened) {
    CHECK(!opened.error().detail.empty());
    return 0;
  }
  auto& source = **opened;
  worker::event event;
  for (std::uint64_t records = 0;; records = source.position()) {
    const auto more = source.next(event);
    if (!more) {
      CHECK(!more.error().detail.empty());
      return 0;
    }
    CHECK(source.position() >= records);
    if (!*more) break;
    CHECK(event.label == 0.0F || event.label == 1.0F);
    CHECK(event.keys.size() == 2);
    for (const float value : event.values) CHECK(std::isfinite(value));
  }
  const auto counted = source.count_records();
  CHECK(counted.ok());
  CHECK(*counted == source.position());
  return 0;
}
