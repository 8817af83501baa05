#include "schemas/delta.hpp"

#include "base/check.hpp"
#include "base/random.hpp"
#include "schemas/delta.capnp.h"
#include "schemas/field_reader.hpp"
#include "schemas/flat_message.hpp"
#include "schemas/hash.hpp"
#include "schemas/packed_numbers.hpp"
#include "schemas/wire.hpp"

#include <cstring>
#include <string>

namespace headrace::schemas {
namespace {

// Segment table, root pointer, then the struct, whose first word is the checksum.
constexpr std::size_t checksum_at = 16;
constexpr std::size_t checked_from = checksum_at + sizeof(std::uint64_t);

std::uint64_t word_at(std::span<const std::byte> bytes, std::size_t at) {
  std::uint64_t word = 0;
  std::memcpy(&word, bytes.data() + at, sizeof word);
  return word;
}

std::size_t scales_of(const delta_block& block) {
  return block.codec == value_codec::int8 ? block.keys.size() : 0;
}

struct packed_block {
  std::vector<std::byte> keys;
  std::vector<std::byte> gone;
};

packed_block pack(const delta_block& block) {
  CHECK(block.keys.size() <= block_rows_max);
  CHECK(block.gone.size() <= block_rows_max);
  CHECK(is_row_codec(block.codec));
  CHECK(block.scales.size() == scales_of(block));
  CHECK(block.values.size() == block.keys.size() * block.dim * value_bytes(block.codec));
  packed_block packed;
  if (!block.keys.empty()) pack_keys(block.keys, packed.keys);
  if (!block.gone.empty()) pack_keys(block.gone, packed.gone);
  return packed;
}

void write_block(wire::DeltaBlock::Builder out,
                 const delta_block& block,
                 const packed_block& packed) {
  out.setTable(block.table.value);
  out.setDim(block.dim);
  out.setRows(static_cast<std::uint32_t>(block.keys.size()));
  out.setGone(static_cast<std::uint32_t>(block.gone.size()));
  out.setValueCodec(static_cast<std::uint16_t>(block.codec));
  const auto size = [](const auto& bytes) { return static_cast<unsigned>(bytes.size()); };
  const auto scales = std::as_bytes(block.scales);
  if (!packed.keys.empty()) write_bulk(out.initKeys(size(packed.keys)), packed.keys);
  if (!scales.empty()) write_bulk(out.initScales(size(scales)), scales);
  if (!block.values.empty()) write_bulk(out.initValues(size(block.values)), block.values);
  if (!packed.gone.empty()) write_bulk(out.initGoneKeys(size(packed.gone)), packed.gone);
}

using key_store = std::deque<std::vector<std::uint64_t>>;

std::span<const std::uint64_t> read_keys(field_reader& fields,
                                         capnp::Data::Reader data,
                                         std::uint32_t count,
                                         key_store& store) {
  if (!fields.ok()) return {};
  std::vector<std::uint64_t>& keys = store.emplace_back(count);
  const std::span<const std::byte> packed{reinterpret_cast<const std::byte*>(data.begin()),
                                          data.size()};
  if (count == 0 ? !packed.empty() : !unpack_keys(packed, keys))
    fields.refuse(errc::malformed, "packed keys are not those of its rows");
  return keys;
}

delta_block read_block(field_reader& fields, wire::DeltaBlock::Reader in, key_store& store) {
  delta_block block;
  block.table = table_id{in.getTable()};
  block.dim = in.getDim();
  block.codec = fields.value_codec(in.getValueCodec());
  const std::uint32_t rows = fields.rows(in.getRows());
  const std::uint32_t gone = fields.rows(in.getGone());
  if (!fields.packed_rows(std::uint64_t{rows} + gone)) return block;
  block.keys = read_keys(fields, in.getKeys(), rows, store);
  block.gone = read_keys(fields, in.getGoneKeys(), gone, store);
  const bool scaled = block.codec == value_codec::int8;
  block.scales = fields.values<std::uint16_t>(in.getScales(), scaled ? rows : 0, "scales");
  block.values =
      fields.cells(in.getValues(), block.codec, std::uint64_t{rows} * std::uint64_t{block.dim});
  return block;
}

result<delta> read_delta(wire::Delta::Reader in) {
  field_reader fields("delta");
  fields.protocol(in.getProtocol());
  if (in.getFormat() == 0 || in.getFormat() > delta_format) {
    fields.refuse(errc::bad_protocol,
                  "format " + std::to_string(in.getFormat()) + ", this build reads 1 to " +
                      std::to_string(delta_format) + "; upgrade the replica");
  }
  delta message;
  message.shard = shard_id{in.getShard()};
  message.epoch = headrace::epoch{in.getEpoch()};
  message.schema_version = in.getSchemaVersion();
  message.whole = in.getWhole();
  message.session = in.getSession();
  message.number = in.getNumber();
  message.follows = in.getFollows();
  message.lsn = headrace::lsn{in.getLsn()};
  message.version = in.getVersion();
  message.accepted_ms = in.getAcceptedMs();
  message.head_version = in.getHeadVersion();
  const auto blocks = in.getBlocks();
  fields.list(blocks.size(), section_blocks_max, "blocks");
  const auto store = std::make_shared<key_store>();
  if (fields.ok()) message.blocks.reserve(blocks.size());
  for (unsigned i = 0; fields.ok() && i < blocks.size(); ++i) {
    message.blocks.push_back(read_block(fields, blocks[i], *store));
  }
  message.unpacked = store;
  return fields.finish(std::move(message));
}

}  // namespace

std::uint64_t delta_checksum(std::span<const std::byte> bytes) {
  CHECK(bytes.size() >= checked_from);
  return mix64(hash64(bytes.subspan(checked_from)) ^ word_at(bytes, checksum_at - 8));
}

std::vector<value_codec> delta_codecs(const job_schema& schema) {
  std::vector<value_codec> codecs;
  for (const table_spec& spec : schema.tables)
    codecs.push_back(spec.dim < 8 ? value_codec::fp32 : value_codec::int8);
  return codecs;
}

frame encode(const delta& message) {
  CHECK(message.blocks.size() <= section_blocks_max);
  std::vector<packed_block> packed;
  packed.reserve(message.blocks.size());
  std::size_t bulk = 0;
  std::uint64_t rows = 0;
  for (const delta_block& block : message.blocks) {
    const packed_block& keys = packed.emplace_back(pack(block));
    bulk += words_of(keys.keys.size()) + words_of(block.scales.size_bytes()) +
            words_of(block.values.size()) + words_of(keys.gone.size());
    rows += block.keys.size() + block.gone.size();
  }
  CHECK(rows <= delta_rows_max);
  flat_message out(head_words<wire::Delta>(list_words<wire::DeltaBlock>(message.blocks.size())),
                   bulk);
  auto root = out.root<wire::Delta>();
  root.setProtocol(protocol_version);
  root.setFormat(delta_format);
  root.setShard(message.shard.value);
  root.setEpoch(message.epoch.value);
  root.setSchemaVersion(message.schema_version);
  root.setWhole(message.whole);
  root.setSession(message.session);
  root.setNumber(message.number);
  root.setFollows(message.follows);
  root.setLsn(message.lsn.value);
  root.setVersion(message.version);
  root.setAcceptedMs(message.accepted_ms);
  root.setHeadVersion(message.head_version);
  if (!message.blocks.empty()) {
    auto blocks = root.initBlocks(static_cast<unsigned>(message.blocks.size()));
    for (unsigned i = 0; i < blocks.size(); ++i) {
      write_block(blocks[i], message.blocks[i], packed[i]);
    }
  }
  root.setChecksum(delta_checksum(out.bytes()));
  return out.finish();
}

result<delta> decode_delta(const frame& bytes) {
  if (auto bad = check_flat(bytes)) return *std::move(bad);
  if (bytes.size() < checked_from ||
      word_at(bytes.bytes(), checksum_at) != delta_checksum(bytes.bytes())) {
    return error{errc::corrupt,
                 "delta of " + std::to_string(bytes.size()) +
                     " bytes: its checksum does not fit, so it is not what was sent; ask for it "
                     "again"};
  }
  auto message = read_flat<wire::Delta>(bytes, read_delta);
  if (message) message->bytes = bytes;
  return message;
}

}  // namespace headrace::schemas
