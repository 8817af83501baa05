#include "worker/ingest/jetstream_support.hpp"

#include <algorithm>
#include <sstream>
#include <vector>

namespace headrace::worker {

natsStatus connect(const feed_spec& spec, std::int64_t ask_ms, connection_parts& into) {
  natsOptions* raw = nullptr;
  if (const auto failed = natsOptions_Create(&raw); failed != NATS_OK) return failed;
  const nats_settings settings(raw);
  std::vector<std::string> servers;
  std::istringstream list(spec.endpoints);
  for (std::string one; std::getline(list, one, ',');) servers.push_back(one);
  std::vector<const char*> texts;
  texts.reserve(servers.size());
  for (const auto& one : servers) texts.push_back(one.c_str());
  auto status = natsOptions_SetServers(raw, texts.data(), static_cast<int>(texts.size()));
  const auto also = [&status](natsStatus next) { status = status == NATS_OK ? next : status; };
  also(natsOptions_SetAllowReconnect(raw, false));  // we must know, and begin anew
  also(natsOptions_SetTimeout(raw, ask_ms));
  also(natsOptions_SetPingInterval(raw, 5'000));
  also(natsOptions_SetName(raw, spec.client_id.empty() ? "headrace" : spec.client_id.c_str()));
  if (spec.tls) also(natsOptions_SetSecure(raw, true));
  if (!spec.user.empty()) {
    also(natsOptions_SetUserInfo(raw, spec.user.c_str(), spec.password.c_str()));
  }
  if (status != NATS_OK) return status;
  natsConnection* connection = nullptr;
  status = natsConnection_Connect(&connection, raw);
  into.connection.reset(connection);
  if (status != NATS_OK) return status;
  jsOptions how;
  jsOptions_Init(&how);
  how.Wait = ask_ms;
  jsCtx* stream = nullptr;
  status = natsConnection_JetStream(&stream, connection, &how);
  into.stream.reset(stream);
  return status;
}

std::string words_of(natsStatus status) {
  const char* more = nats_GetLastError(nullptr);
  std::string words = natsStatus_GetText(status);
  if (more != nullptr && *more != '\0') words += ": " + std::string(more);
  return words;
}

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
