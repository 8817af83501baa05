#include "storage/engines/kafka_link.hpp"

#include <array>
#include <vector>

namespace headrace::storage {
namespace {

result<void> set(rd_kafka_conf_t* settings, const char* name, const std::string& value) {
  std::array<char, 512> why{};
  if (rd_kafka_conf_set(settings, name, value.c_str(), why.data(), why.size()) ==
      RD_KAFKA_CONF_OK) {
    return {};
  }
  return error{errc::bad_config, "kafka: " + std::string(why.data())};
}

const char* protocol(const broker_login& login) {
  if (login.user.empty()) return login.tls ? "ssl" : "plaintext";
  return login.tls ? "sasl_ssl" : "sasl_plaintext";
}

}  // namespace

result<kafka_settings> make_kafka_settings(
    const broker_login& login, std::span<const std::pair<const char*, std::string>> more) {
  kafka_settings settings(rd_kafka_conf_new());
  std::vector<std::pair<const char*, std::string>> all{
      {"bootstrap.servers", login.endpoints},
      {"client.id", login.client_id.empty() ? "headrace" : login.client_id},
      {"security.protocol", protocol(login)},
      {"reconnect.backoff.max.ms", "2000"},
      {"log_level", "3"},
  };
  if (!login.user.empty()) {
    all.insert(all.end(),
               {{"sasl.mechanisms", "PLAIN"},
                {"sasl.username", login.user},
                {"sasl.password", login.password}});
  }
  all.insert(all.end(), more.begin(), more.end());
  for (const auto& [name, value] : all) {
    if (auto done = set(settings.get(), name, value); !done) return done.error();
  }
  return settings;
}

result<kafka_handle> make_kafka_handle(rd_kafka_type_t type, kafka_settings settings) {
  std::array<char, 512> why{};
  kafka_handle made(rd_kafka_new(type, settings.get(), why.data(), why.size()));
  if (made == nullptr) return error{errc::bad_config, "kafka: " + std::string(why.data())};
  (void)settings.release();  // the handle's now
  return made;
}

}  // namespace headrace::storage
