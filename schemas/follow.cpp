#include "schemas/follow.hpp"

#include "schemas/field_reader.hpp"
#include "schemas/flat_message.hpp"
#include "schemas/follow.capnp.h"
#include "schemas/wire.hpp"

#include <span>
#include <string_view>
#include <utility>

namespace headrace::schemas {

namespace {

result<follow_request> read_request(wire::FollowRequest::Reader in) {
  field_reader fields("follow request");
  fields.protocol(in.getProtocol());
  follow_request m;
  m.shard = shard_id{in.getShard()};
  m.job_fingerprint = in.getJobFingerprint();
  m.subscriber = in.getSubscriber();
  m.session = in.getSession();
  m.number = in.getNumber();
  m.interval_ms = in.getIntervalMs();
  m.wait_ms = in.getWaitMs();
  m.bytes_max = in.getBytesMax();
  if (m.subscriber == 0) fields.refuse(errc::malformed, "subscriber 0 is nobody");
  if (m.session > session_max)
    fields.refuse(errc::malformed, "session " + std::to_string(m.session) + " leaves no later one");
  return fields.finish(m);
}

result<follow_reply> read_reply(const frame& whole, wire::FollowReply::Reader in) {
  field_reader fields("follow reply");
  fields.protocol(in.getProtocol());
  follow_reply m;
  m.status = fields.status(in.getStatus());
  m.detail = fields.detail(in.getDetail());
  m.retry_after_ms = in.getRetryAfterMs();
  const auto delta = in.getDelta();
  m.delta = frame::sharing(std::as_bytes(std::span(delta.begin(), delta.size())), whole.keeper());
  return fields.finish(std::move(m));
}

}  // namespace

frame encode(const follow_request& m) {
  flat_message out(head_words<wire::FollowRequest>(0), 0);
  auto root = out.root<wire::FollowRequest>();
  root.setProtocol(protocol_version);
  root.setShard(m.shard.value);
  root.setJobFingerprint(m.job_fingerprint);
  root.setSubscriber(m.subscriber);
  root.setSession(m.session);
  root.setNumber(m.number);
  root.setIntervalMs(m.interval_ms);
  root.setWaitMs(m.wait_ms);
  root.setBytesMax(m.bytes_max);
  return out.finish();
}

frame encode(const follow_reply& m) {
  const std::string_view detail = cut(m.detail, detail_bytes_max);
  flat_message out(head_words<wire::FollowReply>(text_words(detail)), words_of(m.delta.size()));
  auto root = out.root<wire::FollowReply>();
  root.setProtocol(protocol_version);
  write_status(root, m.status, detail);
  root.setRetryAfterMs(m.retry_after_ms);
  if (!m.delta.empty())
    write_bulk(root.initDelta(static_cast<unsigned>(m.delta.size())), m.delta.bytes());
  return out.finish();
}

result<follow_request> decode_follow_request(const frame& bytes) {
  return read_flat<wire::FollowRequest>(bytes, read_request);
}

result<follow_reply> decode_follow_reply(const frame& bytes) {
  return read_flat<wire::FollowReply>(
      bytes, [&](wire::FollowReply::Reader in) { return read_reply(bytes, in); });
}

}  // namespace headrace::schemas
