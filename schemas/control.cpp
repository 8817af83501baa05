#include "schemas/control.hpp"

#include "schemas/control.capnp.h"
#include "schemas/field_reader.hpp"
#include "schemas/flat_message.hpp"
#include "schemas/wire.hpp"

namespace headrace::schemas {

namespace {

/// A request that names a shard and nothing else.
template <class Root>
frame encode_shard(shard_id shard) {
  flat_message out(head_words<Root>(0), 0);
  auto root = out.root<Root>();
  root.setProtocol(protocol_version);
  root.setShard(shard.value);
  return out.finish();
}

result<hello> read_hello(wire::Hello::Reader in) {
  field_reader fields("hello");
  hello m;
  m.protocol = in.getProtocol();
  m.protocol_min = in.getProtocolMin();
  m.job_fingerprint = in.getJobFingerprint();
  m.sender = fields.sender(in.getSender());
  return fields.finish(std::move(m));
}

result<welcome> read_welcome(wire::Welcome::Reader in) {
  field_reader fields("welcome");
  welcome m;
  m.protocol = in.getProtocol();
  m.status = fields.status(in.getStatus());
  m.detail = fields.detail(in.getDetail());
  m.shards = in.getShards();
  m.epoch = headrace::epoch{in.getEpoch()};
  m.schema_version = in.getSchemaVersion();
  return fields.finish(std::move(m));
}

result<watermark_request> read_watermark_request(wire::WatermarkRequest::Reader in) {
  field_reader fields("watermark request");
  fields.protocol(in.getProtocol());
  watermark_request m;
  m.shard = shard_id{in.getShard()};
  m.source = fields.source(in.getSource());
  return fields.finish(std::move(m));
}

result<watermark_reply> read_watermark_reply(wire::WatermarkReply::Reader in) {
  field_reader fields("watermark reply");
  fields.protocol(in.getProtocol());
  watermark_reply m;
  m.shard = shard_id{in.getShard()};
  m.status = fields.status(in.getStatus());
  m.detail = fields.detail(in.getDetail());
  m.rows = batch_number{in.getRows()};
  m.dense = batch_number{in.getDense()};
  m.epoch = headrace::epoch{in.getEpoch()};
  return fields.finish(std::move(m));
}

result<digest_request> read_digest_request(wire::DigestRequest::Reader in) {
  field_reader fields("digest request");
  fields.protocol(in.getProtocol());
  return fields.finish(digest_request{shard_id{in.getShard()}, in.getCountsOnly()});
}

result<digest_reply> read_digest_reply(wire::DigestReply::Reader in) {
  field_reader fields("digest reply");
  fields.protocol(in.getProtocol());
  digest_reply m;
  m.shard = shard_id{in.getShard()};
  m.status = fields.status(in.getStatus());
  m.detail = fields.detail(in.getDetail());
  m.low = in.getLow();
  m.high = in.getHigh();
  m.weights_low = in.getWeightsLow();
  m.weights_high = in.getWeightsHigh();
  m.rows = in.getRows();
  m.bytes = in.getBytes();
  m.lsn = headrace::lsn{in.getLsn()};
  return fields.finish(std::move(m));
}

result<flush_request> read_flush_request(wire::FlushRequest::Reader in) {
  field_reader fields("flush request");
  fields.protocol(in.getProtocol());
  return fields.finish(flush_request{shard_id{in.getShard()}});
}

result<flush_reply> read_flush_reply(wire::FlushReply::Reader in) {
  field_reader fields("flush reply");
  fields.protocol(in.getProtocol());
  flush_reply m;
  m.shard = shard_id{in.getShard()};
  m.status = fields.status(in.getStatus());
  m.detail = fields.detail(in.getDetail());
  m.flushed = headrace::lsn{in.getFlushed()};
  return fields.finish(std::move(m));
}

result<status_request> read_status_request(wire::StatusRequest::Reader in) {
  field_reader fields("status request");
  fields.protocol(in.getProtocol());
  return fields.finish(status_request{shard_id{in.getShard()}});
}

result<status_reply> read_status_reply(wire::StatusReply::Reader in) {
  field_reader fields("status reply");
  fields.protocol(in.getProtocol());
  status_reply m;
  m.shard = shard_id{in.getShard()};
  m.status = fields.status(in.getStatus());
  m.detail = fields.detail(in.getDetail());
  m.shards = in.getShards();
  m.rows = in.getRows();
  m.bytes = in.getBytes();
  m.lsn = headrace::lsn{in.getLsn()};
  m.flushed = headrace::lsn{in.getFlushed()};
  m.version = in.getVersion();
  m.tail_rows = in.getTailRows();
  m.tail_bytes = in.getTailBytes();
  m.log_first = headrace::lsn{in.getLogFirst()};
  m.mode = fields.log_mode(in.getLogMode());
  m.hits = in.getHits();
  m.fetched = in.getFetched();
  m.absent = in.getAbsent();
  m.evicted = in.getEvicted();
  m.checkpoint_ms = in.getCheckpointMs();
  m.trouble = fields.detail(in.getTrouble());
  return fields.finish(std::move(m));
}

result<checkpoint_request> read_checkpoint_request(wire::CheckpointRequest::Reader in) {
  field_reader fields("checkpoint request");
  fields.protocol(in.getProtocol());
  return fields.finish(checkpoint_request{in.getToken()});
}

result<checkpoint_reply> read_checkpoint_reply(wire::CheckpointReply::Reader in) {
  field_reader fields("checkpoint reply");
  fields.protocol(in.getProtocol());
  checkpoint_reply m;
  m.status = fields.status(in.getStatus());
  m.detail = fields.detail(in.getDetail());
  m.done = in.getDone();
  m.id = fields.detail(in.getId());
  m.files_uploaded = in.getFilesUploaded();
  m.bytes_uploaded = in.getBytesUploaded();
  m.bytes_reused = in.getBytesReused();
  m.took_ms = in.getTookMs();
  return fields.finish(std::move(m));
}

}  // namespace

frame encode(const hello& m) {
  const std::string_view sender = cut(m.sender, sender_bytes_max);
  flat_message out(head_words<wire::Hello>(text_words(sender)), 0);
  auto root = out.root<wire::Hello>();
  root.setProtocol(m.protocol);
  root.setProtocolMin(m.protocol_min);
  root.setJobFingerprint(m.job_fingerprint);
  if (!sender.empty()) write_text(root.initSender(static_cast<unsigned>(sender.size())), sender);
  return out.finish();
}

frame encode(const welcome& m) {
  const std::string_view detail = cut(m.detail, detail_bytes_max);
  flat_message out(head_words<wire::Welcome>(text_words(detail)), 0);
  auto root = out.root<wire::Welcome>();
  root.setProtocol(m.protocol);
  write_status(root, m.status, detail);
  root.setShards(m.shards);
  root.setEpoch(m.epoch.value);
  root.setSchemaVersion(m.schema_version);
  return out.finish();
}

frame encode(const watermark_request& m) {
  flat_message out(head_words<wire::WatermarkRequest>(source_words(m.source)), 0);
  auto root = out.root<wire::WatermarkRequest>();
  root.setProtocol(protocol_version);
  root.setShard(m.shard.value);
  write_source(root.initSource(), m.source);
  return out.finish();
}

frame encode(const watermark_reply& m) {
  const std::string_view detail = cut(m.detail, detail_bytes_max);
  flat_message out(head_words<wire::WatermarkReply>(text_words(detail)), 0);
  auto root = out.root<wire::WatermarkReply>();
  root.setProtocol(protocol_version);
  root.setShard(m.shard.value);
  write_status(root, m.status, detail);
  root.setRows(m.rows.value);
  root.setDense(m.dense.value);
  root.setEpoch(m.epoch.value);
  return out.finish();
}

frame encode(const digest_request& m) {
  flat_message out(head_words<wire::DigestRequest>(0), 0);
  auto root = out.root<wire::DigestRequest>();
  root.setProtocol(protocol_version);
  root.setShard(m.shard.value);
  root.setCountsOnly(m.counts_only);
  return out.finish();
}

frame encode(const digest_reply& m) {
  const std::string_view detail = cut(m.detail, detail_bytes_max);
  flat_message out(head_words<wire::DigestReply>(text_words(detail)), 0);
  auto root = out.root<wire::DigestReply>();
  root.setProtocol(protocol_version);
  root.setShard(m.shard.value);
  write_status(root, m.status, detail);
  root.setLow(m.low);
  root.setHigh(m.high);
  root.setWeightsLow(m.weights_low);
  root.setWeightsHigh(m.weights_high);
  root.setRows(m.rows);
  root.setBytes(m.bytes);
  root.setLsn(m.lsn.value);
  return out.finish();
}

frame encode(const flush_request& m) { return encode_shard<wire::FlushRequest>(m.shard); }

frame encode(const flush_reply& m) {
  const std::string_view detail = cut(m.detail, detail_bytes_max);
  flat_message out(head_words<wire::FlushReply>(text_words(detail)), 0);
  auto root = out.root<wire::FlushReply>();
  root.setProtocol(protocol_version);
  root.setShard(m.shard.value);
  write_status(root, m.status, detail);
  root.setFlushed(m.flushed.value);
  return out.finish();
}

frame encode(const status_request& m) { return encode_shard<wire::StatusRequest>(m.shard); }

frame encode(const status_reply& m) {
  const std::string_view detail = cut(m.detail, detail_bytes_max);
  const std::string_view trouble = cut(m.trouble, detail_bytes_max);
  flat_message out(head_words<wire::StatusReply>(text_words(detail) + text_words(trouble)), 0);
  auto root = out.root<wire::StatusReply>();
  root.setProtocol(protocol_version);
  root.setShard(m.shard.value);
  write_status(root, m.status, detail);
  root.setShards(m.shards);
  root.setRows(m.rows);
  root.setBytes(m.bytes);
  root.setLsn(m.lsn.value);
  root.setFlushed(m.flushed.value);
  root.setVersion(m.version);
  root.setTailRows(m.tail_rows);
  root.setTailBytes(m.tail_bytes);
  root.setLogFirst(m.log_first.value);
  root.setLogMode(static_cast<std::uint16_t>(m.mode));
  root.setHits(m.hits);
  root.setFetched(m.fetched);
  root.setAbsent(m.absent);
  root.setEvicted(m.evicted);
  root.setCheckpointMs(m.checkpoint_ms);
  if (!trouble.empty())
    write_text(root.initTrouble(static_cast<unsigned>(trouble.size())), trouble);
  return out.finish();
}

frame encode(const checkpoint_request& m) {
  flat_message out(head_words<wire::CheckpointRequest>(0), 0);
  auto root = out.root<wire::CheckpointRequest>();
  root.setProtocol(protocol_version);
  root.setToken(m.token);
  return out.finish();
}

frame encode(const checkpoint_reply& m) {
  const std::string_view detail = cut(m.detail, detail_bytes_max);
  const std::string_view id = cut(m.id, detail_bytes_max);
  flat_message out(head_words<wire::CheckpointReply>(text_words(detail) + text_words(id)), 0);
  auto root = out.root<wire::CheckpointReply>();
  root.setProtocol(protocol_version);
  write_status(root, m.status, detail);
  root.setDone(m.done);
  if (!id.empty()) write_text(root.initId(static_cast<unsigned>(id.size())), id);
  root.setFilesUploaded(m.files_uploaded);
  root.setBytesUploaded(m.bytes_uploaded);
  root.setBytesReused(m.bytes_reused);
  root.setTookMs(m.took_ms);
  return out.finish();
}

result<hello> decode_hello(const frame& bytes) { return read_flat<wire::Hello>(bytes, read_hello); }
result<welcome> decode_welcome(const frame& bytes) {
  return read_flat<wire::Welcome>(bytes, read_welcome);
}
result<watermark_request> decode_watermark_request(const frame& bytes) {
  return read_flat<wire::WatermarkRequest>(bytes, read_watermark_request);
}
result<watermark_reply> decode_watermark_reply(const frame& bytes) {
  return read_flat<wire::WatermarkReply>(bytes, read_watermark_reply);
}
result<digest_request> decode_digest_request(const frame& bytes) {
  return read_flat<wire::DigestRequest>(bytes, read_digest_request);
}
result<digest_reply> decode_digest_reply(const frame& bytes) {
  return read_flat<wire::DigestReply>(bytes, read_digest_reply);
}
result<flush_request> decode_flush_request(const frame& bytes) {
  return read_flat<wire::FlushRequest>(bytes, read_flush_request);
}
result<flush_reply> decode_flush_reply(const frame& bytes) {
  return read_flat<wire::FlushReply>(bytes, read_flush_reply);
}
result<status_request> decode_status_request(const frame& bytes) {
  return read_flat<wire::StatusRequest>(bytes, read_status_request);
}
result<status_reply> decode_status_reply(const frame& bytes) {
  return read_flat<wire::StatusReply>(bytes, read_status_reply);
}
result<checkpoint_request> decode_checkpoint_request(const frame& bytes) {
  return read_flat<wire::CheckpointRequest>(bytes, read_checkpoint_request);
}
result<checkpoint_reply> decode_checkpoint_reply(const frame& bytes) {
  return read_flat<wire::CheckpointReply>(bytes, read_checkpoint_reply);
}

}  // namespace headrace::schemas
