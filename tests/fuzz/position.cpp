#include "base/check.hpp"
#include "ps/shard/position_state.hpp"
#include "ps/shard/push_rule.hpp"
#include "storage/row_codec.hpp"
#include "tests/fuzz/fuzz.hpp"

#include <algorithm>

/// What a shard's position keeps beside the rows: versions and watermarks. What loads saves to
/// something that loads the same.
namespace {

using namespace headrace;

void read_watermarks(std::span<const std::byte> bytes) {
  ps::push_rule rule;
  if (const auto loaded = rule.load(bytes); !loaded) {
    CHECK(loaded.error().code == errc::corrupt);
    return;
  }
  (void)rule.slowest();
  const auto saved = rule.save();
  ps::push_rule again;
  CHECK(again.load(saved).ok());
  CHECK(again.save() == saved);
}

void read_state(std::span<const std::byte> bytes) {
  const auto state = ps::decode_position_state(bytes, shard_id{3});
  if (!state) {
    CHECK(!state.error().detail.empty());
    return;
  }
  const auto again = ps::decode_position_state(ps::encode_position_state(*state), shard_id{3});
  CHECK(again.ok());
  CHECK(ps::encode_position_state(*again) == ps::encode_position_state(*state));
  read_watermarks(state->watermarks);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  read_watermarks(bytes);
  read_state(bytes);
  const auto position = storage::decode_position(bytes);
  if (position) read_state(position->state);
  return 0;
}
