#pragma once

#include "base/check.hpp"
#include "base/random.hpp"
#include "kernels/block_int4/block_int4.hpp"
#include "kernels/runtime/half.hpp"
#include "schemas/push.hpp"
#include "schemas/schema.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

/// What tests and benches of shards push.
namespace headrace::ps {

/// HEADRACE_SEED, or a fixed number; say it in the failure message.
inline std::uint64_t test_seed() {
  const char* given = std::getenv("HEADRACE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : 20'261'124;
}

/// One table under `kind`, of one shard unless told.
inline schemas::job_schema one_table(schemas::optimizer_kind kind,
                                     std::uint32_t dim,
                                     std::uint32_t shards = 1) {
  schemas::job_schema schema;
  schema.shards = shards;
  schemas::table_spec spec;
  spec.name = "items";
  spec.dim = dim;
  spec.optimizer.kind = kind;
  spec.init = {.seed = 7, .scale = 0.01F};
  schema.tables.push_back(spec);
  return schema;
}

/// A block that owns its arrays. Rows are set all at once: `values` [rows, dim], or `codes` with
/// `scales`, or `words` in `word_codec` (fp16 or bf16), or `coded` with `scales` in `block_codec`
/// (topk or int4) and packed keys.
struct block_data {
  table_id table;
  std::uint32_t dim = 1;
  std::vector<std::uint64_t> keys = {};
  std::vector<float> values = {};
  std::vector<std::int8_t> codes = {};
  std::vector<std::uint16_t> scales = {};
  std::vector<std::uint32_t> counts = {};
  std::vector<std::uint16_t> words = {};
  schemas::value_codec word_codec = schemas::value_codec::bf16;
  std::vector<std::byte> coded = {};
  schemas::value_codec block_codec = schemas::value_codec::topk;

  schemas::row_block view() const {
    schemas::row_block block = {.table = table,
                                .dim = dim,
                                .codec = schemas::value_codec::fp32,
                                .keys = keys,
                                .counts = counts,
                                .scales = scales,
                                .values = std::as_bytes(std::span(values))};
    if (!codes.empty()) {
      block.codec = schemas::value_codec::int8;
      block.values = std::as_bytes(std::span(codes));
    } else if (!words.empty()) {
      block.codec = word_codec;
      block.values = std::as_bytes(std::span(words));
    } else if (!coded.empty()) {
      block.codec = block_codec;
      block.values = coded;
      block.keys_as = schemas::key_codec::delta_packed;
    }
    return block;
  }
};

/// Makes the block topk of `k` values, or int4 of all, at random, scales among them up to 2^-7.
inline void draw_coded(block_data& block,
                       schemas::value_codec codec,
                       std::size_t k,
                       random_stream& random) {
  const std::size_t cells = block.keys.size() * block.dim;
  const bool sparse = codec == schemas::value_codec::topk;
  block.block_codec = codec;
  block.coded.resize(schemas::value_layout_bytes(codec, block.keys.size(), block.dim, k));
  for (std::byte& byte : block.coded) byte = static_cast<std::byte>(random.next());
  block.scales.resize(schemas::value_layout_scales(codec, block.keys.size(), block.dim, k));
  for (auto& scale : block.scales) scale = static_cast<std::uint16_t>(random.next_below(0x2000));
  if (!sparse || block.coded.empty()) return;
  const auto chosen = static_cast<std::uint32_t>(k);
  std::memcpy(block.coded.data(), &chosen, sizeof chosen);
  std::vector<std::uint32_t> indices;
  for (std::size_t i = 0; i < cells; ++i) {
    if (random.next_below(cells - i) < k - indices.size())
      indices.push_back(static_cast<std::uint32_t>(i));
  }
  schemas::pack_indices(
      indices, cells, std::span(block.coded).subspan(schemas::topk_head_bytes + k));
}

/// The gradients [rows, dim] of such a block, value by value.
inline std::vector<float> plain_values(const schemas::row_block& block) {
  std::vector<float> values(block.cells());
  if (block.codec == schemas::value_codec::int4) {
    kernels::decode_int4_ref(
        {.codes = {reinterpret_cast<const std::uint8_t*>(block.values.data()), block.values.size()},
         .scales = block.scales,
         .values = values});
    return values;
  }
  const auto chosen = schemas::split_topk(block.values);
  std::vector<std::uint32_t> indices(chosen.codes.size());
  CHECK(schemas::unpack_indices(chosen.positions, block.cells(), indices));
  for (std::size_t i = 0; i < indices.size(); ++i) {
    values[indices[i]] =
        static_cast<float>(chosen.codes[i]) * kernels::half_to_float(block.scales[i / 256]);
  }
  return values;
}

/// A section over blocks that live elsewhere.
inline schemas::push_section section_of(const schemas::source_id& source,
                                        std::uint64_t batch,
                                        std::uint64_t prev,
                                        const std::vector<block_data>& blocks) {
  schemas::push_section section;
  section.source = source;
  section.batch = batch_number{batch};
  section.prev = batch_number{prev};
  for (const block_data& block : blocks) section.blocks.push_back(block.view());
  return section;
}

/// The section as a worker's bytes bring it.
inline schemas::push_section received(const schemas::push_section& section) {
  auto read = schemas::decode_push(schemas::encode(section));
  CHECK(read.ok());
  return std::move(*read);
}

}  // namespace headrace::ps
