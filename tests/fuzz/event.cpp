#include "schemas/event.hpp"

#include "tests/fuzz/flat_mutator.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <cmath>

/// A batch of events, and what stands around it on the way there and back.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace;
  const frame bytes = fuzz::frame_of(data, size);
  static schemas::event_batch batch;  // used again, as where it is received
  const auto decoded = schemas::decode_event_batch(bytes, batch);
  CHECK(decoded.ok() || batch.events.empty());
  for (const auto& event : batch.events) {
    for (const auto& field : batch.fields_of(event)) {
      CHECK(field.name < batch.names.size());
      CHECK(std::isfinite(field.number));
      for (const auto text : batch.texts_of(field)) CHECK(text.size() <= size);
    }
  }
  fuzz::must_survive(bytes, [](const frame& f) { return schemas::decode_event_batch(f); });
  fuzz::must_survive(bytes, schemas::decode_event_ack);
  fuzz::must_survive(bytes, schemas::decode_event_push);
  return 0;
}
