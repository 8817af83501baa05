#pragma once

#include "base/check.hpp"
#include "schemas/push.hpp"
#include "schemas/schema.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
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
/// `scales`, or `words` in `word_codec` (fp16 or bf16).
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
    }
    return block;
  }
};

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
