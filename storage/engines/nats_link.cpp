#include "storage/engines/nats_link.hpp"

#include <sstream>
#include <vector>

namespace headrace::storage {

natsStatus connect(const broker_login& login, std::int64_t ask_ms, connection_parts& into) {
  natsOptions* raw = nullptr;
  if (const auto failed = natsOptions_Create(&raw); failed != NATS_OK) return failed;
  const nats_settings settings(raw);
  std::vector<std::string> servers;
  std::istringstream list(login.endpoints);
  for (std::string one; std::getline(list, one, ',');) servers.push_back(one);
  std::vector<const char*> texts;
  texts.reserve(servers.size());
  for (const auto& one : servers) texts.push_back(one.c_str());
  auto status = natsOptions_SetServers(raw, texts.data(), static_cast<int>(texts.size()));
  const auto also = [&status](natsStatus next) { status = status == NATS_OK ? next : status; };
  also(natsOptions_SetAllowReconnect(raw, false));  // we must know, and begin anew
  also(natsOptions_SetTimeout(raw, ask_ms));
  also(natsOptions_SetPingInterval(raw, 5'000));
  also(natsOptions_SetName(raw, login.client_id.empty() ? "headrace" : login.client_id.c_str()));
  if (login.tls) also(natsOptions_SetSecure(raw, true));
  if (!login.user.empty()) {
    also(natsOptions_SetUserInfo(raw, login.user.c_str(), login.password.c_str()));
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

}  // namespace headrace::storage
