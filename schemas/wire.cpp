#include "schemas/wire.hpp"

#include "base/check.hpp"
#include "schemas/envelope.capnp.h"
#include "schemas/field_reader.hpp"
#include "schemas/flat_message.hpp"

namespace headrace::schemas {

namespace {

constexpr std::uint16_t reserved_kinds_from = 32;

message_kind read_kind(field_reader& fields, std::uint16_t number) {
  switch (number) {
    case 1:
      return message_kind::push;
    case 2:
      return message_kind::pull;
    case 3:
      return message_kind::hello;
    case 4:
      return message_kind::watermarks;
    case 5:
      return message_kind::digest;
    case 6:
      return message_kind::flush;
    case 7:
      return message_kind::status;
    case 8:
      return message_kind::checkpoint;
    case 9:
      return message_kind::forget;
    case 10:
      return message_kind::release;
    case 11:
      return message_kind::events;
    case 12:
      return message_kind::samples;
    case 13:
      return message_kind::follow;
    default:
      break;
  }
  if (number >= reserved_kinds_from) {
    fields.refuse(errc::bad_protocol,
                  "message kind " + std::to_string(number) +
                      " is reserved for lookup, predict or audit, not spoken yet");
  } else {
    fields.refuse(errc::malformed, "message kind " + std::to_string(number) + " is not known");
  }
  return message_kind::push;
}

result<envelope> read_envelope(wire::Envelope::Reader in) {
  field_reader fields("envelope");
  envelope message;
  message.protocol = in.getProtocol();
  // The version first: what another version's kinds mean is not for this build to say.
  if (in.getKind() != static_cast<std::uint16_t>(message_kind::hello)) {
    fields.protocol(message.protocol);
  }
  message.kind = read_kind(fields, in.getKind());
  message.reply = in.getReply();
  message.request_id = in.getRequestId();
  message.first_section = in.getFirstSection();
  message.sender = fields.sender(in.getSender());
  const auto sections = in.getSections();
  fields.list(sections.size(), envelope_sections_max, "sections");
  if (fields.ok()) {
    message.sections.reserve(sections.size());
    for (const auto section : sections) message.sections.push_back({shard_id{section.getShard()}});
  }
  return fields.finish(std::move(message));
}

}  // namespace

frame encode(const envelope& message) {
  CHECK(message.sections.size() <= envelope_sections_max);
  const std::string_view sender = cut(message.sender, sender_bytes_max);
  flat_message out(head_words<wire::Envelope>(
                       text_words(sender) + list_words<wire::SectionRef>(message.sections.size())),
                   0);
  auto root = out.root<wire::Envelope>();
  root.setProtocol(message.protocol);
  root.setKind(static_cast<std::uint16_t>(message.kind));
  root.setReply(message.reply);
  root.setRequestId(message.request_id);
  root.setFirstSection(message.first_section);
  if (!sender.empty()) write_text(root.initSender(static_cast<unsigned>(sender.size())), sender);
  if (!message.sections.empty()) {
    auto sections = root.initSections(static_cast<unsigned>(message.sections.size()));
    unsigned i = 0;
    for (const section_ref& section : message.sections) {
      sections[i++].setShard(section.shard.value);
    }
  }
  return out.finish();
}

result<envelope> decode_envelope(const frame& bytes) {
  return read_flat<wire::Envelope>(bytes, read_envelope);
}

}  // namespace headrace::schemas
