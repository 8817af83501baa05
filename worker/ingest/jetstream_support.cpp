#include "worker/ingest/jetstream_support.hpp"

#include <algorithm>

namespace headrace::worker {

const char* header_of(natsMsg* message, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const char* value = nullptr;
    if (natsMsgHeader_Get(message, name, &value) == NATS_OK && value != nullptr) return value;
  }
  return "";
}

bool is_refusal(natsStatus status) {
  return status != NATS_OK && status != NATS_TIMEOUT && status != NATS_NOT_FOUND &&
         status != NATS_CONNECTION_CLOSED;
}

namespace {

/// The word before the next dot, taken off `rest`.
std::string_view next_word(std::string_view& rest) {
  const auto end = std::min(rest.find('.'), rest.size());
  const auto word = rest.substr(0, end);
  rest.remove_prefix(std::min(end + 1, rest.size()));
  return word;
}

}  // namespace

bool takes_subject(std::string_view pattern, std::string_view subject) {
  while (!pattern.empty() && !subject.empty()) {
    const auto wanted = next_word(pattern);
    const auto word = next_word(subject);
    if (wanted == ">") return true;
    if (wanted != "*" && wanted != word) return false;
  }
  return pattern.empty() && subject.empty();
}

}  // namespace headrace::worker
