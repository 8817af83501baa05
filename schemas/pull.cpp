#include "schemas/pull.hpp"

#include "base/check.hpp"
#include "schemas/field_reader.hpp"
#include "schemas/flat_message.hpp"
#include "schemas/pull.capnp.h"
#include "schemas/wire.hpp"

#include <cstring>

namespace headrace::schemas {

namespace {

/// Bytes of a pulled block's parts.
struct block_bytes {
  std::size_t values;
  std::size_t scales;
  std::size_t absent;
};

block_bytes bytes_of(const pulled_block_layout& block) {
  const std::size_t rows = block.rows;
  const bool quantized = block.codec == value_codec::int8;
  CHECK(rows <= block_rows_max);
  return {.values = rows * block.dim * value_bytes(block.codec),
          .scales = quantized ? rows * sizeof(std::uint16_t) : 0,
          .absent = (rows + 7) / 8};
}

std::size_t bulk_words(std::span<const pulled_block_layout> blocks) {
  std::size_t words = 0;
  for (const pulled_block_layout& block : blocks) {
    const block_bytes bytes = bytes_of(block);
    words += words_of(bytes.values) + words_of(bytes.scales) + words_of(bytes.absent);
  }
  return words;
}

pull_block read_block(field_reader& fields, wire::PullBlock::Reader in) {
  pull_block block;
  block.table = table_id{in.getTable()};
  block.codec = fields.value_codec(in.getValueCodec());
  fields.key_codec(in.getKeyCodec());
  block.keys = fields.values<std::uint64_t>(in.getKeys(), fields.rows(in.getRows()), "keys");
  return block;
}

result<pull_section> read_pull(wire::PullSection::Reader in) {
  field_reader fields("pull");
  fields.protocol(in.getProtocol());
  pull_section section;
  section.epoch = headrace::epoch{in.getEpoch()};
  section.schema_version = in.getSchemaVersion();
  section.shard = shard_id{in.getShard()};
  section.at_least = headrace::lsn{in.getAtLeast()};
  const auto blocks = in.getBlocks();
  fields.list(blocks.size(), section_blocks_max, "blocks");
  if (fields.ok()) section.blocks.reserve(blocks.size());
  for (unsigned i = 0; fields.ok() && i < blocks.size(); ++i) {
    section.blocks.push_back(read_block(fields, blocks[i]));
  }
  return fields.finish(std::move(section));
}

pulled_block read_pulled(field_reader& fields, wire::PulledBlock::Reader in) {
  pulled_block block;
  block.table = table_id{in.getTable()};
  block.dim = in.getDim();
  block.codec = fields.value_codec(in.getValueCodec());
  block.rows = fields.rows(in.getRows());
  const std::uint64_t rows = block.rows;
  const bool quantized = block.codec == value_codec::int8;
  block.values = fields.cells(in.getValues(), block.codec, rows * block.dim);
  block.scales = fields.values<std::uint16_t>(in.getScales(), quantized ? rows : 0, "scales");
  block.absent = fields.values<std::byte>(in.getAbsent(), (rows + 7) / 8, "absent bits");
  return block;
}

result<pull_reply> read_pull_reply(wire::PullReply::Reader in) {
  field_reader fields("pull reply");
  fields.protocol(in.getProtocol());
  pull_reply reply;
  reply.shard = shard_id{in.getShard()};
  reply.status = fields.status(in.getStatus());
  reply.detail = fields.detail(in.getDetail());
  reply.epoch = headrace::epoch{in.getEpoch()};
  reply.lsn = headrace::lsn{in.getLsn()};
  reply.version = in.getVersion();
  const auto blocks = in.getBlocks();
  fields.list(blocks.size(), section_blocks_max, "blocks");
  if (fields.ok()) reply.blocks.reserve(blocks.size());
  for (unsigned i = 0; fields.ok() && i < blocks.size(); ++i) {
    reply.blocks.push_back(read_pulled(fields, blocks[i]));
  }
  return fields.finish(std::move(reply));
}

}  // namespace

frame encode(const pull_section& section) {
  CHECK(section.blocks.size() <= section_blocks_max);
  std::size_t bulk = 0;
  for (const pull_block& block : section.blocks) {
    CHECK(block.keys.size() <= block_rows_max);
    bulk += block.keys.size();
  }
  flat_message out(
      head_words<wire::PullSection>(list_words<wire::PullBlock>(section.blocks.size())), bulk);
  auto root = out.root<wire::PullSection>();
  root.setProtocol(protocol_version);
  root.setEpoch(section.epoch.value);
  root.setSchemaVersion(section.schema_version);
  root.setShard(section.shard.value);
  root.setAtLeast(section.at_least.value);
  if (section.blocks.empty()) return out.finish();
  auto blocks = root.initBlocks(static_cast<unsigned>(section.blocks.size()));
  for (unsigned i = 0; i < blocks.size(); ++i) {
    const pull_block& block = section.blocks[i];
    const auto keys = std::as_bytes(block.keys);
    blocks[i].setTable(block.table.value);
    blocks[i].setRows(static_cast<std::uint32_t>(block.keys.size()));
    blocks[i].setValueCodec(static_cast<std::uint16_t>(block.codec));
    blocks[i].setKeyCodec(static_cast<std::uint16_t>(key_codec::raw));
    if (keys.empty()) continue;
    write_bulk(blocks[i].initKeys(static_cast<unsigned>(keys.size())), keys);
  }
  return out.finish();
}

result<pull_section> decode_pull(const frame& bytes) {
  auto section = read_flat<wire::PullSection>(bytes, read_pull);
  if (section) section->bytes = bytes;
  return section;
}

struct pull_reply_builder::state {
  state(std::string_view detail, std::span<const pulled_block_layout> layouts)
      : message(head_words<wire::PullReply>(text_words(detail) +
                                            list_words<wire::PulledBlock>(layouts.size())),
                bulk_words(layouts)) {}

  flat_message message;
  std::vector<pulled_block_memory> blocks;
};

namespace {

pulled_block_memory lay_out(wire::PulledBlock::Builder out, const pulled_block_layout& block) {
  out.setTable(block.table.value);
  out.setDim(block.dim);
  out.setRows(block.rows);
  out.setValueCodec(static_cast<std::uint16_t>(block.codec));
  const block_bytes bytes = bytes_of(block);
  pulled_block_memory memory;
  if (bytes.values != 0) {
    memory.values = writable(out.initValues(static_cast<unsigned>(bytes.values)));
  }
  if (bytes.scales != 0) {
    const auto scales = writable(out.initScales(static_cast<unsigned>(bytes.scales)));
    memory.scales = {reinterpret_cast<std::uint16_t*>(scales.data()), block.rows};
  }
  if (bytes.absent != 0) {
    memory.absent = writable(out.initAbsent(static_cast<unsigned>(bytes.absent)));
    std::memset(memory.absent.data(), 0, memory.absent.size());
  }
  return memory;
}

}  // namespace

pull_reply_builder::pull_reply_builder(const pull_reply& header,
                                       std::span<const pulled_block_layout> blocks) {
  CHECK(blocks.size() <= section_blocks_max);
  const std::string_view detail = cut(header.detail, detail_bytes_max);
  state_ = std::make_unique<state>(detail, blocks);
  auto root = state_->message.root<wire::PullReply>();
  root.setProtocol(protocol_version);
  root.setShard(header.shard.value);
  root.setStatus(static_cast<std::uint16_t>(header.status));
  root.setEpoch(header.epoch.value);
  root.setLsn(header.lsn.value);
  root.setVersion(header.version);
  if (!detail.empty()) write_text(root.initDetail(static_cast<unsigned>(detail.size())), detail);
  if (blocks.empty()) return;
  auto out = root.initBlocks(static_cast<unsigned>(blocks.size()));
  state_->blocks.reserve(blocks.size());
  for (unsigned i = 0; i < out.size(); ++i) state_->blocks.push_back(lay_out(out[i], blocks[i]));
}

pull_reply_builder::~pull_reply_builder() = default;

pulled_block_memory pull_reply_builder::block(std::size_t i) {
  CHECK(i < state_->blocks.size());
  return state_->blocks[i];
}

frame pull_reply_builder::finish() { return state_->message.finish(); }

frame encode(const pull_reply& reply) {
  std::vector<pulled_block_layout> layouts;
  layouts.reserve(reply.blocks.size());
  for (const pulled_block& block : reply.blocks) {
    layouts.push_back({block.table, block.dim, block.codec, block.rows});
  }
  pull_reply_builder builder(reply, layouts);
  const auto copy = [](auto from, auto to) {
    CHECK(from.size() == to.size());
    if (!from.empty()) std::memcpy(to.data(), from.data(), from.size_bytes());
  };
  for (std::size_t i = 0; i < reply.blocks.size(); ++i) {
    const pulled_block_memory memory = builder.block(i);
    copy(reply.blocks[i].values, memory.values);
    copy(reply.blocks[i].scales, memory.scales);
    copy(reply.blocks[i].absent, memory.absent);
  }
  return builder.finish();
}

result<pull_reply> decode_pull_reply(const frame& bytes) {
  auto reply = read_flat<wire::PullReply>(bytes, read_pull_reply);
  if (reply) reply->bytes = bytes;
  return reply;
}

}  // namespace headrace::schemas
