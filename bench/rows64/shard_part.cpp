#include "bench/rows64/shard_part.hpp"

#include "base/check.hpp"
#include "bench/rows64/half_rows.hpp"
#include "kernels/quantize_rows/quantize_rows.hpp"
#include "kernels/runtime/half.hpp"
#include "schemas/schema.hpp"

#include <algorithm>

namespace headrace::bench {
namespace {

using schemas::value_codec;

std::span<const std::uint16_t> halves_of(const schemas::pulled_block& block) {
  return {reinterpret_cast<const std::uint16_t*>(block.values.data()),
          block.values.size() / sizeof(std::uint16_t)};
}

/// The block's values as floats; `memory` holds them where they did not travel as such.
std::span<const float> widen(const schemas::pulled_block& block, std::vector<float>& memory) {
  switch (block.codec) {
    case value_codec::fp32:
      return block.fp32_values();
    case value_codec::int8:
      memory.resize(block.values.size());
      kernels::dequantize_rows(
          {{reinterpret_cast<const std::int8_t*>(block.values.data()), block.values.size()},
           block.scales,
           row_dim,
           memory});
      return memory;
    case value_codec::fp16:
      for (const auto bits : halves_of(block)) memory.push_back(kernels::half_to_float(bits));
      return memory;
    case value_codec::bf16:
      for (const auto bits : halves_of(block)) memory.push_back(from_bf16(bits));
      return memory;
    default:  // not of pulls
      break;
  }
  return memory;
}

}  // namespace

std::vector<shard_part> split(const row_batch& batch, std::uint32_t shards) {
  std::vector<shard_part> parts(shards);
  for (std::uint32_t i = 0; i < batch.rows(); ++i) {
    auto& part = parts[schemas::shard_of(row_key{batch.keys[i]}, shards).value];
    part.places.push_back(i);
    part.keys.push_back(batch.keys[i]);
    const auto row = batch.row(i);
    part.values.insert(part.values.end(), row.begin(), row.end());
  }
  return parts;
}

void encode_values(shard_part& part, value_codec codec) {
  if (codec == value_codec::fp32) return;
  if (codec == value_codec::int8) {
    part.codes.resize(part.values.size());
    part.scales.resize(part.keys.size());
    kernels::quantize_rows({part.values, part.codes, part.scales, row_dim});
    return;
  }
  part.halves.resize(part.values.size());
  std::transform(part.values.begin(),
                 part.values.end(),
                 part.halves.begin(),
                 codec == value_codec::bf16 ? to_bf16 : to_fp16);
}

schemas::row_block block_of(const shard_part& part, value_codec codec) {
  schemas::row_block block;
  block.table = table_id{0};
  block.dim = row_dim;
  block.codec = codec;
  block.keys = part.keys;
  switch (codec) {
    case value_codec::fp32:
      block.values = std::as_bytes(std::span(part.values));
      break;
    case value_codec::int8:
      block.scales = part.scales;
      block.values = std::as_bytes(std::span(part.codes));
      break;
    case value_codec::fp16:
    case value_codec::bf16:
      block.values = std::as_bytes(std::span(part.halves));
      break;
    default:  // not of single rows
      break;
  }
  return block;
}

void copy_block(const schemas::pulled_block& block, const shard_part& part, std::span<float> rows) {
  std::vector<float> memory;
  const std::span<const float> values = widen(block, memory);
  CHECK(values.size() == part.places.size() * row_dim);
  for (std::size_t i = 0; i < part.places.size(); ++i) {
    std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(i * row_dim),
                row_dim,
                rows.begin() + static_cast<std::ptrdiff_t>(part.places[i] * row_dim));
  }
}

}  // namespace headrace::bench
