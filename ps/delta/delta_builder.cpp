#include "ps/delta/delta_builder.hpp"

#include "base/check.hpp"
#include "schemas/wire.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace headrace::ps {
namespace {

/// One block's arrays while the message is made.
struct block_arrays {
  std::vector<std::uint64_t> keys;
  std::vector<std::uint64_t> gone;
  std::vector<std::byte> values;
  std::vector<std::uint16_t> scales;
};

/// Moves what belongs to absent rows out of the arrays.
void split_absent(block_arrays& block, std::span<const std::byte> absent, std::size_t row_bytes) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < block.keys.size(); ++i) {
    if ((static_cast<unsigned>(absent[i / 8]) >> (i % 8) & 1U) != 0) {
      block.gone.push_back(block.keys[i]);
      continue;
    }
    if (kept != i) {
      block.keys[kept] = block.keys[i];
      if (!block.scales.empty()) block.scales[kept] = block.scales[i];
      std::memcpy(
          block.values.data() + kept * row_bytes, block.values.data() + i * row_bytes, row_bytes);
    }
    ++kept;
  }
  block.keys.resize(kept);
  block.values.resize(kept * row_bytes);
  if (!block.scales.empty()) block.scales.resize(kept);
}

block_arrays read_rows(const shard& of,
                       table_id table,
                       std::span<const std::uint64_t> keys,
                       schemas::value_codec codec) {
  const std::size_t row_bytes =
      std::size_t{of.schema().tables[table.value].dim} * schemas::value_bytes(codec);
  block_arrays block;
  block.keys.assign(keys.begin(), keys.end());
  block.values.resize(keys.size() * row_bytes);
  if (codec == schemas::value_codec::int8) block.scales.resize(keys.size());
  std::vector<std::byte> absent((keys.size() + 7) / 8);
  of.gather(table, keys, codec, {block.values, block.scales, absent});
  const bool some = std::ranges::any_of(absent, [](std::byte bits) { return bits != std::byte{}; });
  if (some) split_absent(block, absent, row_bytes);
  return block;
}

}  // namespace

std::vector<std::size_t> delta_row_bytes(const schemas::job_schema& schema,
                                         std::span<const schemas::value_codec> codecs) {
  CHECK(codecs.size() == schema.tables.size());
  constexpr std::size_t key_and_scale = 11;
  std::vector<std::size_t> bytes;
  for (std::size_t i = 0; i < codecs.size(); ++i) {
    bytes.push_back(std::size_t{schema.tables[i].dim} * schemas::value_bytes(codecs[i]) +
                    key_and_scale);
  }
  return bytes;
}

delta_feed& begin_feed(change_index& changes,
                       const shard& of,
                       std::uint64_t session,
                       const feed_limits& limits) {
  changes.applied(of.applied(), of.version());
  delta_feed& feed = changes.open(session, limits);
  for (std::uint32_t i = 0; i < of.tables(); ++i) {
    feed.add_first(table_id{i}, of.live_keys(table_id{i}));
  }
  if (of.has_cold_rows()) feed.wait_for_more();
  return feed;
}

std::vector<schemas::pull_block> rows_needed(const delta_plan& plan) {
  std::vector<schemas::pull_block> blocks;
  for (std::size_t i = 0; i < plan.keys.size(); ++i) {
    if (plan.keys[i].empty()) continue;
    blocks.push_back({.table = table_id{static_cast<std::uint32_t>(i)}, .keys = plan.keys[i]});
  }
  return blocks;
}

frame build_delta(const shard& of,
                  const delta_plan& plan,
                  std::span<const schemas::value_codec> codecs) {
  CHECK(plan.keys.size() == of.tables());
  CHECK(codecs.size() == of.tables());
  schemas::delta message;
  message.shard = of.id();
  message.epoch = of.epoch();
  message.schema_version = of.schema().version;
  message.whole = plan.whole;
  message.session = plan.session;
  message.number = plan.number;
  message.follows = plan.follows;
  message.lsn = plan.said.lsn;
  message.version = plan.said.version;
  message.accepted_ms = plan.said.accepted_ms;
  message.head_version = plan.head_version;
  std::vector<block_arrays> arrays;
  std::vector<table_id> tables;
  for (std::size_t i = 0; i < plan.keys.size(); ++i) {
    std::span<const std::uint64_t> keys = plan.keys[i];
    while (!keys.empty()) {
      const auto piece = keys.first(std::min<std::size_t>(keys.size(), schemas::block_rows_max));
      keys = keys.subspan(piece.size());
      tables.emplace_back(static_cast<std::uint32_t>(i));
      arrays.push_back(read_rows(of, tables.back(), piece, codecs[i]));
    }
  }
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    message.blocks.push_back({.table = tables[i],
                              .dim = of.schema().tables[tables[i].value].dim,
                              .codec = codecs[tables[i].value],
                              .keys = arrays[i].keys,
                              .scales = arrays[i].scales,
                              .values = arrays[i].values,
                              .gone = arrays[i].gone});
  }
  return schemas::encode(message);
}

}  // namespace headrace::ps
