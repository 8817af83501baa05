#include "schemas/push.hpp"

#include "base/check.hpp"
#include "schemas/field_reader.hpp"
#include "schemas/flat_message.hpp"
#include "schemas/packed_numbers.hpp"
#include "schemas/push.capnp.h"
#include "schemas/wire.hpp"

namespace headrace::schemas {

namespace {

/// Keys and counts of a block as they travel.
struct block_keys {
  explicit block_keys(const row_block& block)
      : keys(std::as_bytes(block.keys)), counts(std::as_bytes(block.counts)) {
    if (block.keys_as == key_codec::raw) return;
    pack_keys(block.keys, packed);
    const std::size_t end = packed.size();
    pack_counts(block.counts, packed);
    keys = std::span(packed).first(end);
    counts = std::span(packed).subspan(end);
  }
  block_keys(block_keys&&) = default;  // spans follow what they point to

  std::vector<std::byte> packed;
  std::span<const std::byte> keys;
  std::span<const std::byte> counts;
};

std::size_t bulk_words(const row_block& block, const block_keys& keys) {
  return words_of(keys.keys.size()) + words_of(keys.counts.size()) +
         words_of(block.scales.size_bytes()) + words_of(block.values.size_bytes());
}

unsigned size_of(std::span<const std::byte> bytes) { return static_cast<unsigned>(bytes.size()); }

void write_block(wire::RowBlock::Builder out,
                 const row_block& block,
                 const block_keys& travelling) {
  out.setTable(block.table.value);
  out.setDim(block.dim);
  out.setRows(static_cast<std::uint32_t>(block.keys.size()));
  out.setValueCodec(static_cast<std::uint16_t>(block.codec));
  out.setKeyCodec(static_cast<std::uint16_t>(block.keys_as));
  const auto keys = travelling.keys;
  const auto counts = travelling.counts;
  const auto scales = std::as_bytes(block.scales);
  if (!keys.empty()) write_bulk(out.initKeys(size_of(keys)), keys);
  if (!counts.empty()) write_bulk(out.initCounts(size_of(counts)), counts);
  if (!scales.empty()) write_bulk(out.initScales(size_of(scales)), scales);
  if (!block.values.empty()) write_bulk(out.initValues(size_of(block.values)), block.values);
}

std::span<const std::byte> bytes_of(capnp::Data::Reader data) {
  return std::as_bytes(std::span(data.begin(), data.size()));
}

/// Keys and counts that are packed, into memory of the section's.
void read_packed(field_reader& fields,
                 wire::RowBlock::Reader in,
                 std::uint64_t rows,
                 unpacked_rows& into,
                 row_block& block) {
  const auto counts = bytes_of(in.getCounts());
  into.keys.resize(rows);
  into.counts.resize(counts.empty() ? 0 : rows);
  if (!unpack_keys(bytes_of(in.getKeys()), into.keys))
    return fields.refuse(errc::malformed, "packed keys are not those of its rows");
  if (!unpack_counts(counts, into.counts))
    return fields.refuse(errc::malformed, "packed counts are not those of its rows");
  block.keys = into.keys;
  block.counts = into.counts;
}

/// topk: that what it chooses lies within the block, each once and in order.
void check_positions(field_reader& fields, const row_block& block) {
  if (!fields.ok() || block.codec != value_codec::topk) return;
  const topk_values chosen = split_topk(block.values);
  std::vector<std::uint32_t> indices(chosen.codes.size());
  if (!unpack_indices(chosen.positions, block.cells(), indices))
    fields.refuse(errc::malformed, "positions of topk values are not those of its rows");
}

row_block read_block(field_reader& fields, wire::RowBlock::Reader in, push_section& section) {
  row_block block;
  block.table = table_id{in.getTable()};
  block.dim = in.getDim();
  block.codec = fields.push_codec(in.getValueCodec());
  block.keys_as = fields.push_key_codec(in.getKeyCodec());
  const std::uint64_t rows = fields.rows(in.getRows());
  if (block.keys_as == key_codec::raw) {
    const auto counts = in.getCounts();
    block.keys = fields.values<std::uint64_t>(in.getKeys(), rows, "keys");
    block.counts = fields.values<std::uint32_t>(counts, counts.size() == 0 ? 0 : rows, "counts");
  } else if (fields.packed_rows(rows)) {
    if (!section.unpacked) section.unpacked = std::make_shared<std::deque<unpacked_rows>>();
    read_packed(fields, in, rows, section.unpacked->emplace_back(), block);
  }
  const auto values = bytes_of(in.getValues());
  const std::uint64_t chosen = block.codec == value_codec::topk ? topk_chosen(values) : 0;
  if (block.codec == value_codec::topk) fields.chosen(chosen, rows * block.dim);
  block.scales = fields.values<std::uint16_t>(
      in.getScales(), value_layout_scales(block.codec, rows, block.dim, chosen), "scales");
  block.values = fields.cells(values, block.codec, rows, block.dim, chosen);
  check_positions(fields, block);
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
  section.accepted_ms = in.getAcceptedMs();
  const auto blocks = in.getBlocks();
  fields.list(blocks.size(), section_blocks_max, "blocks");
  if (fields.ok()) section.blocks.reserve(blocks.size());
  for (unsigned i = 0; fields.ok() && i < blocks.size(); ++i) {
    section.blocks.push_back(read_block(fields, blocks[i], section));
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
    case value_codec::topk:
      return "topk";
    case value_codec::int4:
      return "int4";
  }
  return "unknown";
}

std::string to_string(const source_id& source) {
  return source.name + "#" + std::to_string(source.generation);
}

bool sizes_fit(const row_block& block) {
  if (block.codec > value_codec::int4) return false;
  const std::size_t rows = block.keys.size();
  const bool sparse = block.codec == value_codec::topk;
  const std::uint64_t chosen = sparse ? topk_chosen(block.values) : 0;
  if (sparse && (block.cells() > UINT32_MAX || chosen > block.cells())) return false;
  return (block.counts.empty() || block.counts.size() == rows) &&
         block.scales.size() == value_layout_scales(block.codec, rows, block.dim, chosen) &&
         block.values.size() == value_layout_bytes(block.codec, rows, block.dim, chosen);
}

frame encode(const push_section& section) {
  CHECK(section.blocks.size() <= section_blocks_max);
  std::size_t bulk = 0;
  std::uint64_t packed_rows = 0;
  std::vector<block_keys> keys;
  keys.reserve(section.blocks.size());
  for (const row_block& block : section.blocks) {
    CHECK(block.keys.size() <= block_rows_max);
    CHECK(sizes_fit(block));
    if (block.keys_as != key_codec::raw) packed_rows += block.keys.size();
    keys.emplace_back(block);
    bulk += bulk_words(block, keys.back());
  }
  CHECK(packed_rows <= packed_rows_max);
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
  root.setAcceptedMs(section.accepted_ms);
  if (!section.blocks.empty()) {
    auto blocks = root.initBlocks(static_cast<unsigned>(section.blocks.size()));
    unsigned i = 0;
    for (const row_block& block : section.blocks) {
      write_block(blocks[i], block, keys[i]);
      ++i;
    }
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
