#include "schemas/pull.hpp"

#include "tests/fuzz/flat_mutator.hpp"
#include "tests/fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const headrace::frame bytes = headrace::fuzz::frame_of(data, size);
  headrace::fuzz::must_survive(bytes, headrace::schemas::decode_pull);
  headrace::fuzz::must_survive(bytes, headrace::schemas::decode_pull_reply);
  return 0;
}
