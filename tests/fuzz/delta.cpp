#include "schemas/delta.hpp"

#include "tests/fuzz/flat_mutator.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <vector>

// Every input twice: as it came, and with the checksum that fits it, since no mutation finds that.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const headrace::frame bytes = headrace::fuzz::frame_of(data, size);
  headrace::fuzz::must_survive(bytes, headrace::schemas::decode_delta);
  if (size < 24) return 0;
  std::vector<std::byte> sealed(bytes.bytes().begin(), bytes.bytes().end());
  const std::uint64_t sum = headrace::schemas::delta_checksum(sealed);
  std::memcpy(sealed.data() + 16, &sum, sizeof sum);
  headrace::fuzz::must_survive(headrace::frame::copy_of(sealed), headrace::schemas::decode_delta);
  return 0;
}
