// What a shard answers: rows, watermarks, digests.
#include "base/check.hpp"
#include "kernels/runtime/float_mode.hpp"
#include "ps/shard/shard.hpp"
#include "ps/table/row_gather.hpp"
#include "ps/table/row_step.hpp"

#include <algorithm>
#include <cstring>

namespace headrace::ps {

frame shard::refuse_pull(const error& why) const {
  schemas::pull_reply reply;
  reply.shard = id_;
  reply.status = why.code;
  reply.detail = why.detail;
  reply.epoch = epoch_;
  reply.lsn = applied_;
  reply.version = version_;
  return schemas::encode(reply);
}

result<std::vector<schemas::pulled_block_layout>> shard::lay_out(
    const schemas::pull_section& section) const {
  std::vector<schemas::pulled_block_layout> layouts;
  layouts.reserve(section.blocks.size());
  std::size_t bytes = 0;
  for (const schemas::pull_block& block : section.blocks) {
    if (auto good = gate_.check_block(block); !good) return good.error();
    const std::uint32_t dim = schema_.tables[block.table.value].dim;
    const auto rows = static_cast<std::uint32_t>(block.keys.size());
    layouts.push_back({block.table, dim, block.codec, rows});
    bytes += std::size_t{rows} * dim * schemas::value_bytes(block.codec);
  }
  // An eighth is left for scales, bits and the envelope of the message.
  if (bytes > limits_.section_bytes_max / 8 * 7) {
    return error{errc::too_large,
                 "the rows asked for are " + std::to_string(bytes) + " bytes, the limit is " +
                     std::to_string(limits_.section_bytes_max / 8 * 7) + "; pull fewer at a time"};
  }
  return layouts;
}

frame shard::pull(const schemas::pull_section& section) const {
  if (auto good = gate_.check_request(section); !good) return refuse_pull(good.error());
  if (section.at_least > applied_) {
    return refuse_pull({errc::unavailable,
                        "shard " + std::to_string(id_.value) + " has applied through " +
                            std::to_string(applied_.value) + ", asked for " +
                            std::to_string(section.at_least.value) + "; ask again"});
  }
  const auto layouts = lay_out(section);
  if (!layouts) return refuse_pull(layouts.error());
  const kernels::float_mode mode;
  schemas::pull_reply header;
  header.shard = id_;
  header.epoch = epoch_;
  header.lsn = applied_;
  header.version = version_;
  schemas::pull_reply_builder reply(header, *layouts);
  for (std::size_t i = 0; i < section.blocks.size(); ++i) {
    const schemas::pull_block& block = section.blocks[i];
    gather_rows(tables_[block.table.value], block.keys, block.codec, stamp_ms_, reply.block(i));
  }
  return reply.finish();
}

void shard::gather(table_id table,
                   std::span<const std::uint64_t> keys,
                   schemas::value_codec codec,
                   const schemas::pulled_block_memory& to) const {
  CHECK(table.value < tables_.size());
  const kernels::float_mode mode;
  gather_rows(tables_[table.value], keys, codec, stamp_ms_, to);
}

schemas::watermark_reply shard::watermarks(const schemas::watermark_request& request) const {
  schemas::watermark_reply reply;
  reply.shard = id_;
  reply.epoch = epoch_;
  const auto rows = rule_.committed(request.source, schemas::lane::rows);
  const auto dense = rule_.committed(request.source, schemas::lane::dense);
  if (rows && dense) {
    reply.rows = *rows;
    reply.dense = *dense;
  } else {
    const error& why = rows ? dense.error() : rows.error();
    reply.status = why.code;
    reply.detail = why.detail;
  }
  return reply;
}

void shard::add_rows(const table& rows, table_digest& sum) const {
  std::vector<std::byte> scratch;
  rows.visit([&](const row_header& row) {
    if (!is_live(row, stamp_ms_, rows.spec().expiry.idle_ms())) return;
    const std::span<const std::byte> bytes{payload(&row), rows.shape().payload_bytes};
    sum.add(rows.spec().id, rows.shape(), row.key, bytes, row.count, scratch);
  });
}

schemas::digest_reply shard::reply_of(const table_digest& sum) const {
  schemas::digest_reply reply;
  for (const table& rows : tables_) reply.bytes += rows.bytes();
  reply.shard = id_;
  reply.low = sum.all.low;
  reply.high = sum.all.high;
  reply.weights_low = sum.weights.low;
  reply.weights_high = sum.weights.high;
  reply.rows = sum.rows;
  reply.lsn = applied_;
  return reply;
}

schemas::digest_reply shard::digest() const {
  CHECK(!has_cold_rows());
  table_digest sum;
  for (const table& rows : tables_) add_rows(rows, sum);
  return reply_of(sum);
}

result<schemas::digest_reply> shard::digest(storage::row_store& store) const {
  if (!has_cold_rows()) return digest();
  table_digest sum;
  for (const table& rows : tables_) add_rows(rows, sum);
  // What lies in DRAM, tombstones too, is newer than what is stored.
  std::vector<std::byte> scratch;
  result<void> good;
  const auto scanned = store.scan(id_, [&](const storage::stored_row& row) {
    if (!good || row.table == tail_mark_table) return;
    if (row.table.value >= tables_.size() ||
        row.payload.size() != tables_[row.table.value].shape().payload_bytes) {
      good = error{errc::corrupt,
                   "stored row " + std::to_string(row.key.value) + " of table " +
                       std::to_string(row.table.value) + " does not fit the job's tables"};
      return;
    }
    const table& of = tables_[row.table.value];
    if (of.complete() || of.find(row.key.value) != nullptr) return;
    const row_header header{
        row.key.value, row.lsn.value, row.last_seen_ms, row.count, row.flags & row_flag::stored};
    if (!is_live(header, stamp_ms_, of.spec().expiry.idle_ms())) return;
    sum.add(row.table, of.shape(), row.key.value, row.payload, row.count, scratch);
  });
  if (!scanned) return scanned.error();
  if (!good) return good.error();
  return reply_of(sum);
}

schemas::digest_reply shard::counts() const {
  table_digest none;
  auto reply = reply_of(none);
  for (const table& rows : tables_) reply.rows += rows.rows();
  reply.rows += static_cast<std::uint64_t>(std::max<std::int64_t>(0, cold_rows_));
  return reply;
}

void shard::visit(
    table_id table_of,
    const std::function<void(row_key, std::uint32_t, std::span<const float>)>& see) const {
  CHECK(table_of.value < tables_.size());
  const table& rows = tables_[table_of.value];
  const row_shape& shape = rows.shape();
  std::vector<float> values(shape.dim + shape.state_floats);
  rows.visit([&](const row_header& row) {
    if (!is_live(row, stamp_ms_, rows.spec().expiry.idle_ms())) return;
    const row_header* const one = &row;
    widen_weights(shape, {&one, 1}, std::span(values).first(shape.dim));
    std::memcpy(values.data() + shape.dim,
                payload(&row) + shape.weight_bytes,
                shape.state_floats * sizeof(float));
    see(row_key{row.key}, row.count, values);
  });
}

shard::census shard::count_rows(table_id table_of,
                                std::uint64_t ttl_ms,
                                std::uint32_t count_min) const {
  CHECK(table_of.value < tables_.size());
  const table& rows = tables_[table_of.value];
  census found;
  rows.visit([&](const row_header& row) {
    if (!is_live(row, stamp_ms_, rows.spec().expiry.idle_ms())) return;
    ++found.rows;
    found.idle += is_live(row, stamp_ms_, ttl_ms) ? 0 : 1;
    found.rare += row.count < count_min ? 1 : 0;
  });
  return found;
}

}  // namespace headrace::ps
