#include "schemas/push.hpp"

#include "base/check.hpp"
#include "schemas/field_reader.hpp"
#include "schemas/flat_message.hpp"
#include "schemas/push.capnp.h"
#include "schemas/wire.hpp"

namespace headrace::schemas {

namespace {

/// What the decoder will ask of a block, asked of our own first.
void check_block(const row_block& block) {
  const std::size_t rows = block.keys.size();
  const bool quantized = block.codec == value_codec::int8;
  CHECK(rows <= block_rows_max);
  CHECK(block.counts.empty() || block.counts.size() == rows);
  CHECK(block.scales.size() == (quantized ? rows : 0));
  CHECK(block.values.size() == rows * block.dim * value_bytes(block.codec));
}

std::size_t bulk_words(const row_block& block) {
  return words_of(block.keys.size_bytes()) + words_of(block.counts.size_bytes()) +
         words_of(block.scales.size_bytes()) + words_of(block.values.size_bytes());
}

unsigned size_of(std::span<const std::byte> bytes) { return static_cast<unsigned>(bytes.size()); }

void write_block(wire::RowBlock::Builder out, const row_block& block) {
  out.setTable(block.table.value);
  out.setDim(block.dim);
  out.setRows(static_cast<std::uint32_t>(block.keys.size()));
  out.setValueCodec(static_cast<std::uint16_t>(block.codec));
  out.setKeyCodec(static_cast<std::uint16_t>(key_codec::raw));
  const auto keys = std::as_bytes(block.keys);
  const auto counts = std::as_bytes(block.counts);
  const auto scales = std::as_bytes(block.scales);
  if (!keys.empty()) write_bulk(out.initKeys(size_of(keys)), keys);
  if (!counts.empty()) write_bulk(out.initCounts(size_of(counts)), counts);
  if (!scales.empty()) write_bulk(out.initScales(size_of(scales)), scales);
  if (!block.values.empty()) write_bulk(out.initValues(size_of(block.values)), block.values);
}

row_block read_block(field_reader& fields, wire::RowBlock::Reader in) {
  row_block block;
  block.table = table_id{in.getTable()};
  block.dim = in.getDim();
  block.codec = fields.value_codec(in.getValueCodec());
  fields.key_codec(in.getKeyCodec());
  const std::uint64_t rows = fields.rows(in.getRows());
  const bool quantized = block.codec == value_codec::int8;
  const auto counts = in.getCounts();
  block.keys = fields.values<std::uint64_t>(in.getKeys(), rows, "keys");
  block.counts = fields.values<std::uint32_t>(counts, counts.size() == 0 ? 0 : rows, "counts");
  block.scales = fields.values<std::uint16_t>(in.getScales(), quantized ? rows : 0, "scales");
  block.values = fields.cells(in.getValues(), block.codec, rows * block.dim);
  return block;
}

result<push_section> read_push(wire::PushSection::Reader in) {
  field_reader fields("push");
  fields.protocol(in.getProtocol());
  push_section section;
  section.epoch = headrace::epoch{in.getEpoch()};
  section.schema_version = in.getSchemaVersion();
  section.shard = shard_id{in.getShard()};
  section.source = fields.source(in.getSource());
  section.lane = fields.lane(in.getLane());
  section.batch = batch_number{in.getBatch()};
  section.prev = batch_number{in.getPrev()};
  section.pulled_version = in.getPulledVersion();
  section.event_time_ms = in.getEventTimeMs();
  const auto blocks = in.getBlocks();
  fields.list(blocks.size(), section_blocks_max, "blocks");
  if (fields.ok()) section.blocks.reserve(blocks.size());
  for (unsigned i = 0; fields.ok() && i < blocks.size(); ++i) {
    section.blocks.push_back(read_block(fields, blocks[i]));
  }
  return fields.finish(std::move(section));
}

result<push_ack> read_push_ack(wire::PushAck::Reader in) {
  field_reader fields("push ack");
  fields.protocol(in.getProtocol());
  push_ack ack;
  ack.shard = shard_id{in.getShard()};
  ack.status = fields.status(in.getStatus());
  ack.detail = fields.detail(in.getDetail());
  ack.applied = in.getApplied();
  ack.watermark = batch_number{in.getWatermark()};
  ack.lsn = headrace::lsn{in.getLsn()};
  ack.version = in.getVersion();
  ack.slowest_clock = in.getSlowestClock();
  ack.epoch = headrace::epoch{in.getEpoch()};
  ack.mode = fields.log_mode(in.getMode());
  ack.retry_after_ms = in.getRetryAfterMs();
  ack.lane = fields.lane(in.getLane());
  return fields.finish(std::move(ack));
}

}  // namespace

std::string_view name(log_mode mode) {
  switch (mode) {
    case log_mode::none:
      return "none";
    case log_mode::os:
      return "os";
    case log_mode::fsync:
      return "fsync";
  }
  return "unknown";
}

std::string_view name(value_codec codec) {
  switch (codec) {
    case value_codec::fp32:
      return "fp32";
    case value_codec::int8:
      return "int8";
    case value_codec::fp16:
      return "fp16";
    case value_codec::bf16:
      return "bf16";
  }
  return "unknown";
}

std::string to_string(const source_id& source) {
  return source.name + "#" + std::to_string(source.generation);
}

frame encode(const push_section& section) {
  CHECK(section.blocks.size() <= section_blocks_max);
  std::size_t bulk = 0;
  for (const row_block& block : section.blocks) {
    check_block(block);
    bulk += bulk_words(block);
  }
  flat_message out(head_words<wire::PushSection>(source_words(section.source) +
                                                 list_words<wire::RowBlock>(section.blocks.size())),
                   bulk);
  auto root = out.root<wire::PushSection>();
  root.setProtocol(protocol_version);
  root.setEpoch(section.epoch.value);
  root.setSchemaVersion(section.schema_version);
  root.setShard(section.shard.value);
  write_source(root.initSource(), section.source);
  root.setLane(static_cast<std::uint16_t>(section.lane));
  root.setBatch(section.batch.value);
  root.setPrev(section.prev.value);
  root.setPulledVersion(section.pulled_version);
  root.setEventTimeMs(section.event_time_ms);
  if (!section.blocks.empty()) {
    auto blocks = root.initBlocks(static_cast<unsigned>(section.blocks.size()));
    unsigned i = 0;
    for (const row_block& block : section.blocks) write_block(blocks[i++], block);
  }
  return out.finish();
}

result<push_section> decode_push(const frame& bytes) {
  auto section = read_flat<wire::PushSection>(bytes, read_push);
  if (section) section->bytes = bytes;
  return section;
}

frame encode(const push_ack& ack) {
  const std::string_view detail = cut(ack.detail, detail_bytes_max);
  flat_message out(head_words<wire::PushAck>(text_words(detail)), 0);
  auto root = out.root<wire::PushAck>();
  root.setProtocol(protocol_version);
  root.setShard(ack.shard.value);
  root.setStatus(static_cast<std::uint16_t>(ack.status));
  if (!detail.empty()) write_text(root.initDetail(static_cast<unsigned>(detail.size())), detail);
  root.setApplied(ack.applied);
  root.setWatermark(ack.watermark.value);
  root.setLsn(ack.lsn.value);
  root.setVersion(ack.version);
  root.setSlowestClock(ack.slowest_clock);
  root.setEpoch(ack.epoch.value);
  root.setMode(static_cast<std::uint16_t>(ack.mode));
  root.setRetryAfterMs(ack.retry_after_ms);
  root.setLane(static_cast<std::uint8_t>(ack.lane));
  return out.finish();
}

result<push_ack> decode_push_ack(const frame& bytes) {
  return read_flat<wire::PushAck>(bytes, read_push_ack);
}

}  // namespace headrace::schemas
