#pragma once

#include "bench/rows64/workload.hpp"
#include "schemas/pull.hpp"
#include "schemas/push.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace headrace::bench {

/// The rows of a batch that live on one shard, and their values in the codec they were encoded for.
struct shard_part {
  std::vector<std::uint32_t> places;  // in the batch
  std::vector<std::uint64_t> keys;
  std::vector<float> values;
  std::vector<std::int8_t> codes;     // int8
  std::vector<std::uint16_t> scales;  // int8
  std::vector<std::uint16_t> halves;  // fp16, bf16
};

/// One part for each shard.
std::vector<shard_part> split(const row_batch& batch, std::uint32_t shards);
/// Makes the values of `codec`; `fp32` needs nothing.
void encode_values(shard_part& part, schemas::value_codec codec);
/// The part as the one block of a push; `encode_values` came before.
schemas::row_block block_of(const shard_part& part, schemas::value_codec codec);
/// Puts pulled rows at their places in `rows`, as floats.
void copy_block(const schemas::pulled_block& block, const shard_part& part, std::span<float> rows);

}  // namespace headrace::bench
