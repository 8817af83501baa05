#include "base/check.hpp"
#include "schemas/event.capnp.h"
#include "schemas/event.hpp"
#include "schemas/field_reader.hpp"
#include "schemas/flat_message.hpp"
#include "schemas/wire.hpp"

#include <algorithm>

namespace headrace::schemas {

namespace {

event_fault read_fault(field_reader& fields, std::uint16_t number) {
  const auto fault = static_cast<event_fault>(number);
  if (name(fault) != "unknown") return fault;
  fields.refuse(errc::malformed, "fault " + std::to_string(number) + " is not known");
  return event_fault::none;
}

result<event_ack> read_ack(wire::EventAck::Reader in) {
  field_reader fields("event ack");
  fields.protocol(in.getProtocol());
  event_ack ack;
  ack.status = fields.status(in.getStatus());
  ack.detail = fields.detail(in.getDetail());
  ack.accepted = in.getAccepted();
  ack.duplicates = in.getDuplicates();
  ack.refused = in.getRefused();
  const auto refusals = in.getRefusals();
  fields.list(refusals.size(), refusals_max, "refusals");
  for (unsigned i = 0; fields.ok() && i < refusals.size(); ++i) {
    const auto refusal = refusals[i];
    ack.refusals.push_back({refusal.getEvent(),
                            read_fault(fields, refusal.getFault()),
                            fields.detail(refusal.getDetail())});
  }
  ack.retry_after_ms = in.getRetryAfterMs();
  return fields.finish(std::move(ack));
}

result<event_push> read_event_push(const frame& whole, wire::EventPush::Reader in) {
  field_reader fields("event push");
  fields.protocol(in.getProtocol());
  event_push push;
  const auto token = in.getToken();
  fields.list(token.size(), push_token_bytes_max, "bytes of token");
  const auto batch = in.getBatch();
  if (fields.ok()) {
    push.token.assign(token.begin(), token.size());
    push.batch =
        frame::sharing(std::as_bytes(std::span(batch.begin(), batch.size())), whole.keeper());
  }
  return fields.finish(std::move(push));
}

unsigned size_of(std::string_view text) { return static_cast<unsigned>(text.size()); }

void write_refusal(wire::Refusal::Builder into, const event_refusal& refusal) {
  const std::string_view detail = cut(refusal.detail, detail_bytes_max);
  into.setEvent(refusal.event);
  into.setFault(static_cast<std::uint16_t>(refusal.fault));
  if (!detail.empty()) write_text(into.initDetail(size_of(detail)), detail);
}

}  // namespace

std::string_view name(event_fault fault) {
  switch (fault) {
    case event_fault::none:
      return "none";
    case event_fault::malformed:
      return "malformed";
    case event_fault::too_large:
      return "too_large";
    case event_fault::missing_field:
      return "missing_field";
    case event_fault::wrong_type:
      return "wrong_type";
    case event_fault::not_finite:
      return "not_finite";
    case event_fault::bad_time:
      return "bad_time";
    case event_fault::no_id:
      return "no_id";
    case event_fault::no_key:
      return "no_key";
    case event_fault::unknown_action:
      return "unknown_action";
    case event_fault::wrong_schema:
      return "wrong_schema";
    case event_fault::duplicate:
      return "duplicate";
    case event_fault::quarantined:
      return "quarantined";
  }
  return "unknown";
}

frame encode(const event_ack& ack) {
  const std::string_view detail = cut(ack.detail, detail_bytes_max);
  const std::size_t told = std::min(ack.refusals.size(), refusals_max);
  const auto refusals = std::span(ack.refusals).first(told);
  std::size_t words = text_words(detail) + list_words<wire::Refusal>(told);
  for (const event_refusal& refusal : refusals)
    words += text_words(cut(refusal.detail, detail_bytes_max));
  flat_message out(head_words<wire::EventAck>(words), 0);
  auto root = out.root<wire::EventAck>();
  root.setProtocol(protocol_version);
  write_status(root, ack.status, detail);
  root.setAccepted(ack.accepted);
  root.setDuplicates(ack.duplicates);
  root.setRefused(ack.refused);
  if (told != 0) {
    auto list = root.initRefusals(static_cast<unsigned>(told));
    unsigned i = 0;
    for (const event_refusal& refusal : refusals) write_refusal(list[i++], refusal);
  }
  root.setRetryAfterMs(ack.retry_after_ms);
  return out.finish();
}

result<event_ack> decode_event_ack(const frame& bytes) {
  return read_flat<wire::EventAck>(bytes, read_ack);
}

frame encode(const event_push& push) {
  CHECK(push.token.size() <= push_token_bytes_max);
  flat_message out(head_words<wire::EventPush>(text_words(push.token)),
                   words_of(push.batch.size()));
  auto root = out.root<wire::EventPush>();
  root.setProtocol(protocol_version);
  if (!push.token.empty()) write_text(root.initToken(size_of(push.token)), push.token);
  if (!push.batch.empty())
    write_bulk(root.initBatch(static_cast<unsigned>(push.batch.size())), push.batch.bytes());
  return out.finish();
}

result<event_push> decode_event_push(const frame& bytes) {
  return read_flat<wire::EventPush>(
      bytes, [&](wire::EventPush::Reader in) { return read_event_push(bytes, in); });
}

}  // namespace headrace::schemas
