#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "schemas/push.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

/// Pulls: rows by key, answered at the newest applied version of the shard.
namespace headrace::schemas {

/// Keys of one table, strictly ascending; the reply carries rows in `codec`.
struct pull_block {
  table_id table;
  value_codec codec = value_codec::fp32;
  std::span<const std::uint64_t> keys;
};

struct pull_section {
  headrace::epoch epoch{1};
  std::uint32_t schema_version = 1;
  shard_id shard;
  headrace::lsn at_least;  // refuse (unavailable) when this much is not applied yet
  std::vector<pull_block> blocks;
  frame bytes;  // decode only
};

frame encode(const pull_section& section);
/// Fails: malformed, too_large, bad_protocol.
result<pull_section> decode_pull(const frame& bytes);

/// Rows of one table in the order of the request's keys. `absent` has one bit a row (bit i of byte
/// i / 8): set when the row does not exist and its initial value stands in.
struct pulled_block {
  table_id table;
  std::uint32_t dim = 0;
  value_codec codec = value_codec::fp32;
  std::uint32_t rows = 0;
  std::span<const std::byte> values;
  std::span<const std::uint16_t> scales;
  std::span<const std::byte> absent;

  std::span<const float> fp32_values() const {
    return {reinterpret_cast<const float*>(values.data()), values.size() / sizeof(float)};
  }
  bool is_absent(std::size_t row) const {
    return (static_cast<unsigned>(absent[row / 8]) >> (row % 8) & 1U) != 0;
  }
};

struct pull_reply {
  shard_id shard;
  errc status = errc::ok;
  std::string detail;
  headrace::epoch epoch{1};
  headrace::lsn lsn;
  std::uint64_t version = 0;
  std::vector<pulled_block> blocks;
  frame bytes;  // decode only
};

/// Shape of one block of a reply that is built in place.
struct pulled_block_layout {
  table_id table;
  std::uint32_t dim = 0;
  value_codec codec = value_codec::fp32;
  std::uint32_t rows = 0;
};
/// Where the shard writes the rows of one block, inside the message itself: no copy is made later.
/// Values and scales are not initialised (zeroing 1 MiB costs as much as filling it): write every
/// row, absent ones too.
struct pulled_block_memory {
  std::span<std::byte> values;      // [rows * dim * value_bytes(codec)]
  std::span<std::uint16_t> scales;  // [rows] for int8
  std::span<std::byte> absent;      // [ceil(rows / 8)], zeroed
};
/// Builds a reply in place: construct with the header and the layouts, fill `block(i)`, then
/// `finish()`.
class pull_reply_builder {
 public:
  pull_reply_builder(const pull_reply& header, std::span<const pulled_block_layout> blocks);
  ~pull_reply_builder();
  pull_reply_builder(const pull_reply_builder&) = delete;
  pull_reply_builder& operator=(const pull_reply_builder&) = delete;

  pulled_block_memory block(std::size_t i);
  frame finish();

 private:
  struct state;
  std::unique_ptr<state> state_;
};

frame encode(const pull_reply& reply);
result<pull_reply> decode_pull_reply(const frame& bytes);

}  // namespace headrace::schemas
