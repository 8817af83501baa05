#include "worker/ingest/message_reader.hpp"

#include <cstddef>
#include <span>
#include <string>

namespace headrace::worker {
namespace {

constexpr std::size_t message_bytes_max = std::size_t{16} << 20;  // as over HTTP

bool is_json(const broker_message& message) {
  const auto says = [&](std::string_view word) {
    return message.content_type.find(word) != std::string_view::npos;
  };
  if (says("json")) return true;
  if (says("capnp") || says("octet-stream")) return false;
  const auto first = message.value.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos &&
         (message.value[first] == '{' || message.value[first] == '[');
}

}  // namespace

result<const schemas::event_batch*> message_reader::read(
    const broker_message& message, std::vector<schemas::event_refusal>& refused) {
  if (message.value.empty())
    return error{errc::malformed, "no value; JSON or an EventBatch is accepted"};
  if (message.value.size() > message_bytes_max)
    return error{errc::too_large,
                 std::to_string(message.value.size()) + " bytes; at most " +
                     std::to_string(message_bytes_max) + " are taken"};
  if (is_json(message)) {
    builder_.begin("", message.schema_version);
    event_json_reader::read_options how;
    how.now_ms = message.time_ms > 0 ? message.time_ms : time_.now_ms();
    how.key = message.key;
    how.schema_version = message.schema_version;
    if (auto read = json_.read(message.value, how, builder_, refused); !read) return read.error();
    return &builder_.batch();
  }
  const auto bytes = std::as_bytes(std::span(message.value));
  if (auto read = schemas::decode_event_batch(frame::copy_of(bytes), decoded_); !read) {
    return read.error();
  }
  return &decoded_;
}

}  // namespace headrace::worker
