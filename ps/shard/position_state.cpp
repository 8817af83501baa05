#include "ps/shard/position_state.hpp"

#include "base/byte_io.hpp"

#include <string>

namespace headrace::ps {
namespace {

constexpr std::uint32_t position_format = 3;  // 1 had no judgement, 2 no oldest version

}  // namespace

std::vector<std::byte> encode_position_state(const position_state& state) {
  byte_writer out;
  out.number(position_format);
  out.number(state.version);
  out.number(state.stamp_ms);
  out.number(state.rows);
  out.block(state.watermarks);
  out.block(state.judgement);
  out.number(state.oldest_version);
  return out.take();
}

result<position_state> decode_position_state(std::span<const std::byte> bytes, shard_id shard) {
  byte_reader in(bytes);
  position_state state;
  const auto format = in.number<std::uint32_t>();
  state.version = in.number<std::uint64_t>();
  state.stamp_ms = in.number<std::uint64_t>();
  state.rows = in.number<std::uint64_t>();
  const auto watermarks = in.block();
  const auto judgement = format >= 2 ? in.block() : std::span<const std::byte>{};
  if (format >= 3) state.oldest_version = in.number<std::uint64_t>();
  if (format == 0 || format > position_format || !in.at_end()) {
    return error{errc::corrupt,
                 "position of shard " + std::to_string(shard.value) +
                     " cannot be read by this build; restore the state folder from a copy"};
  }
  state.watermarks.assign(watermarks.begin(), watermarks.end());
  state.judgement.assign(judgement.begin(), judgement.end());
  return state;
}

}  // namespace headrace::ps
