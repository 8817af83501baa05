#include "base/check.hpp"
#include "schemas/hash.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "worker/join/joiner.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

/// A joiner's saved state, signed anew so that what is behind the checksum is reached too. What
/// loads saves to the same bytes and can be finished.
namespace {

using namespace headrace;

worker::join_spec spec() {
  worker::join_spec how;
  how.window_ms = 100;
  how.out_of_order_ms = 50;
  how.correct_ms = 300;
  how.actions = 2;
  return how;
}

void load_and_finish(std::span<const std::byte> bytes) {
  worker::joiner join(spec());
  if (const auto loaded = join.load(bytes); !loaded) {
    CHECK(loaded.error().code == errc::corrupt);
    return;
  }
  const auto saved = join.save();
  CHECK(saved.ok());
  CHECK(std::ranges::equal(*saved, bytes));
  join.impression("a", 1000, 0, {});
  join.action("a", 1001, 0, 1);
  join.finish();
  worker::joined_sample sample;
  while (join.take(sample)) {
  }
  CHECK(join.pending() == 0);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  load_and_finish(bytes);
  if (size < 8) return 0;
  std::vector<std::byte> is_signed(bytes.begin(), bytes.end());
  const std::uint64_t sum = schemas::hash64(bytes.subspan(8));
  std::memcpy(is_signed.data(), &sum, sizeof sum);
  load_and_finish(is_signed);
  return 0;
}
