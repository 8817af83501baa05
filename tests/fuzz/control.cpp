#include "schemas/control.hpp"

#include "tests/fuzz/flat_mutator.hpp"
#include "tests/fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const headrace::frame bytes = headrace::fuzz::frame_of(data, size);
  headrace::fuzz::must_survive(bytes, headrace::schemas::decode_hello);
  headrace::fuzz::must_survive(bytes, headrace::schemas::decode_welcome);
  headrace::fuzz::must_survive(bytes, headrace::schemas::decode_watermark_request);
  headrace::fuzz::must_survive(bytes, headrace::schemas::decode_watermark_reply);
  headrace::fuzz::must_survive(bytes, headrace::schemas::decode_digest_request);
  headrace::fuzz::must_survive(bytes, headrace::schemas::decode_digest_reply);
  headrace::fuzz::must_survive(bytes, headrace::schemas::decode_flush_request);
  headrace::fuzz::must_survive(bytes, headrace::schemas::decode_flush_reply);
  headrace::fuzz::must_survive(bytes, headrace::schemas::decode_status_request);
  headrace::fuzz::must_survive(bytes, headrace::schemas::decode_status_reply);
  headrace::fuzz::must_survive(bytes, headrace::schemas::decode_checkpoint_request);
  headrace::fuzz::must_survive(bytes, headrace::schemas::decode_checkpoint_reply);
  headrace::fuzz::must_survive(bytes, headrace::schemas::decode_forget_request);
  headrace::fuzz::must_survive(bytes, headrace::schemas::decode_forget_reply);
  headrace::fuzz::must_survive(bytes, headrace::schemas::decode_release_request);
  headrace::fuzz::must_survive(bytes, headrace::schemas::decode_release_reply);
  return 0;
}
