#include "schemas/samples.hpp"

#include "tests/fuzz/flat_mutator.hpp"
#include "tests/fuzz/fuzz.hpp"

/// Sealed batches on their way to a worker, and what it asks for.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace;
  const frame bytes = fuzz::frame_of(data, size);
  fuzz::must_survive(bytes, schemas::decode_samples_request);
  fuzz::must_survive(bytes, schemas::decode_samples_reply);
  return 0;
}
