#include "base/byte_io.hpp"
#include "base/check.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "worker/ingest/window_features.hpp"
#include "worker/windows/window_table.hpp"

/// What a window keeps between runs. What loads saves to something that loads the same, within its
/// bounds, and goes on.
namespace {

using namespace headrace;

worker::window_bounds bounds(std::uint64_t keys_max) {
  worker::window_bounds how;
  how.over_ms = 100;
  how.out_of_order_ms = 10;
  how.newest_max = 3;
  how.keys_max = keys_max;
  how.key_events_max = keys_max;
  how.events_max = 2 * keys_max;
  return how;
}

std::vector<std::byte> saved(const worker::window_table& table) {
  byte_writer out;
  table.save(out);
  return out.take();
}

void load_and_go_on(std::span<const std::byte> bytes, std::uint64_t keys_max) {
  worker::window_table table(bounds(keys_max));
  byte_reader in(bytes);
  if (!table.load(in)) return;
  CHECK(table.keys() <= keys_max);
  CHECK(table.events() <= 2 * keys_max);
  const auto first = saved(table);
  worker::window_table again(bounds(keys_max));
  byte_reader back(first);
  CHECK(again.load(back).ok());
  CHECK(back.at_end());
  CHECK(saved(again) == first);
  const std::uint64_t time = table.watermark_ms() | 7;
  table.advance(time);
  const std::uint64_t overflowed = table.count().overflowed;
  CHECK(table.add({1, 1}, {time, 0}));
  // Of a key that had its fill of newer events, the one just added is the oldest.
  CHECK(!table.window({1, 1}, time).empty() || table.count().overflowed > overflowed);
  table.advance(UINT64_MAX);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  load_and_go_on(bytes, 1'000'000);
  load_and_go_on(bytes, 2);
  worker::window_features none{worker::source_spec{}};
  if (const auto loaded = none.load(bytes); loaded) CHECK(*loaded == 0);
  return 0;
}
