#include "base/check.hpp"
#include "schemas/control.capnp.h"
#include "schemas/control.hpp"
#include "schemas/field_reader.hpp"
#include "schemas/flat_message.hpp"
#include "schemas/wire.hpp"

namespace headrace::schemas {

// What an operator decides about rows and sources.
namespace {

void write_numbers(capnp::List<std::uint64_t>::Builder into,
                   const std::vector<std::uint64_t>& numbers) {
  for (unsigned i = 0; i < into.size(); ++i) into.set(i, numbers[i]);
}

result<forget_request> read_forget_request(wire::ForgetRequest::Reader in) {
  field_reader fields("forget request");
  fields.protocol(in.getProtocol());
  forget_request m;
  m.shard = shard_id{in.getShard()};
  m.table = table_id{in.getTable()};
  m.dry_run = in.getDryRun();
  m.keys = fields.numbers(in.getKeys(), forget_keys_max, "keys");
  return fields.finish(std::move(m));
}

result<forget_reply> read_forget_reply(wire::ForgetReply::Reader in) {
  field_reader fields("forget reply");
  fields.protocol(in.getProtocol());
  forget_reply m;
  m.shard = shard_id{in.getShard()};
  m.status = fields.status(in.getStatus());
  m.detail = fields.detail(in.getDetail());
  m.lsn = headrace::lsn{in.getLsn()};
  m.found = fields.numbers(in.getFound(), forget_keys_max, "keys");
  return fields.finish(std::move(m));
}

result<release_request> read_release_request(wire::ReleaseRequest::Reader in) {
  field_reader fields("release request");
  fields.protocol(in.getProtocol());
  release_request m;
  m.shard = shard_id{in.getShard()};
  m.source = fields.source_name(in.getSource());
  return fields.finish(std::move(m));
}

result<release_reply> read_release_reply(wire::ReleaseReply::Reader in) {
  field_reader fields("release reply");
  fields.protocol(in.getProtocol());
  release_reply m;
  m.shard = shard_id{in.getShard()};
  m.status = fields.status(in.getStatus());
  m.detail = fields.detail(in.getDetail());
  m.released = in.getReleased();
  return fields.finish(std::move(m));
}

}  // namespace

frame encode(const forget_request& m) {
  CHECK(m.keys.size() <= forget_keys_max);
  flat_message out(head_words<wire::ForgetRequest>(m.keys.size()), 0);
  auto root = out.root<wire::ForgetRequest>();
  root.setProtocol(protocol_version);
  root.setShard(m.shard.value);
  root.setTable(m.table.value);
  root.setDryRun(m.dry_run);
  if (!m.keys.empty()) write_numbers(root.initKeys(static_cast<unsigned>(m.keys.size())), m.keys);
  return out.finish();
}

frame encode(const forget_reply& m) {
  CHECK(m.found.size() <= forget_keys_max);
  const std::string_view detail = cut(m.detail, detail_bytes_max);
  flat_message out(head_words<wire::ForgetReply>(text_words(detail) + m.found.size()), 0);
  auto root = out.root<wire::ForgetReply>();
  root.setProtocol(protocol_version);
  root.setShard(m.shard.value);
  write_status(root, m.status, detail);
  root.setLsn(m.lsn.value);
  if (!m.found.empty())
    write_numbers(root.initFound(static_cast<unsigned>(m.found.size())), m.found);
  return out.finish();
}

frame encode(const release_request& m) {
  CHECK(is_source_name(m.source));
  flat_message out(head_words<wire::ReleaseRequest>(text_words(m.source)), 0);
  auto root = out.root<wire::ReleaseRequest>();
  root.setProtocol(protocol_version);
  root.setShard(m.shard.value);
  write_text(root.initSource(static_cast<unsigned>(m.source.size())), m.source);
  return out.finish();
}

frame encode(const release_reply& m) {
  const std::string_view detail = cut(m.detail, detail_bytes_max);
  flat_message out(head_words<wire::ReleaseReply>(text_words(detail)), 0);
  auto root = out.root<wire::ReleaseReply>();
  root.setProtocol(protocol_version);
  root.setShard(m.shard.value);
  write_status(root, m.status, detail);
  root.setReleased(m.released);
  return out.finish();
}

result<forget_request> decode_forget_request(const frame& bytes) {
  return read_flat<wire::ForgetRequest>(bytes, read_forget_request);
}
result<forget_reply> decode_forget_reply(const frame& bytes) {
  return read_flat<wire::ForgetReply>(bytes, read_forget_reply);
}
result<release_request> decode_release_request(const frame& bytes) {
  return read_flat<wire::ReleaseRequest>(bytes, read_release_request);
}
result<release_reply> decode_release_reply(const frame& bytes) {
  return read_flat<wire::ReleaseReply>(bytes, read_release_reply);
}

}  // namespace headrace::schemas
