#include "schemas/follow.hpp"

#include "tests/fuzz/flat_mutator.hpp"
#include "tests/fuzz/fuzz.hpp"

/// What a replica asks for, and what it is answered; the delta in it is another target.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace;
  const frame bytes = fuzz::frame_of(data, size);
  fuzz::must_survive(bytes, schemas::decode_follow_request);
  fuzz::must_survive(bytes, schemas::decode_follow_reply);
  return 0;
}
