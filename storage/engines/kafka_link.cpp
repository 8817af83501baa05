#include "storage/engines/kafka_link.hpp"

#include <algorithm>
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

bool is_final(rd_kafka_resp_err_t code) {
  constexpr std::array final_ones{RD_KAFKA_RESP_ERR__AUTHENTICATION,
                                  RD_KAFKA_RESP_ERR__FATAL,
                                  RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
                                  RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
                                  RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
                                  RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED,
                                  RD_KAFKA_RESP_ERR_INVALID_GROUP_ID,
                                  RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION};
  return std::ranges::find(final_ones, code) != final_ones.end();
}

bool is_unknown_topic(rd_kafka_resp_err_t code) {
  return code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
         code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
}

bool is_topic_name(std::string_view name) {
  constexpr std::string_view allowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  return !name.empty() && name.find_first_not_of(allowed) == std::string_view::npos;
}

std::string_view header_of(const rd_kafka_headers_t* headers, const char* name) {
  const void* value = nullptr;
  std::size_t size = 0;
  if (rd_kafka_header_get_last(headers, name, &value, &size) != RD_KAFKA_RESP_ERR_NO_ERROR ||
      value == nullptr) {
    return {};
  }
  return {static_cast<const char*>(value), size};
}

}  // namespace headrace::storage
