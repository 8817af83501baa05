#include "worker/events/event_json.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <string_view>

/// A text that somebody pushes as events: whatever it is, what was read is a batch that decodes,
/// and every event of it was added or told.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace;
  static worker::event_json_reader reader;
  static schemas::event_batch_builder builder;
  builder.begin("");
  worker::event_json_reader::read_options how;
  how.event_bytes_max = 4'096;
  std::vector<schemas::event_refusal> refused;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto done = reader.read(text, how, builder, refused);
  if (!done) {
    CHECK(!done.error().detail.empty());
    CHECK(builder.events() == 0);
    CHECK(refused.empty());
  }
  for (const auto& refusal : refused) CHECK(!refusal.detail.empty());
  const frame sent = builder.finish();
  CHECK(sent.size() <= builder.bytes());
  const auto got = schemas::decode_event_batch(sent);
  CHECK(got.ok());
  CHECK(got->events.size() == builder.events());
  CHECK(fuzz::same_bytes(encode(*got), sent));
  return 0;
}
