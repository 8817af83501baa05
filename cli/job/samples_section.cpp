#include "cli/job/samples_section.hpp"

#include "cli/job/http_place.hpp"

#include <algorithm>

namespace headrace::cli {
namespace {

// "SCHEME://a:1,b:2" as the clients want it: for NATS with the scheme before each.
std::string read_servers(config_reader& config, sample_engine engine) {
  const bool kafka = engine == sample_engine::kafka;
  const std::string scheme = kafka ? "kafka://" : "nats://";
  const std::string before_each = kafka ? "" : scheme;
  const std::string url =
      config.required_text("samples.url",
                           kafka ? "where the topic is, such as \"kafka://127.0.0.1:9092\""
                                 : "where the stream is, such as \"nats://127.0.0.1:4222\"");
  if (url.empty()) return {};
  std::string servers;
  std::string_view rest(url);
  bool good = rest.starts_with(scheme);
  if (good) rest.remove_prefix(scheme.size());
  while (good) {
    const auto end = std::min(rest.find(','), rest.size());
    const auto host = rest.substr(0, end);
    good = is_host_port(host, 1);
    servers += (servers.empty() ? "" : ",") + before_each + std::string(host);
    if (end == rest.size()) break;
    rest.remove_prefix(end + 1);
  }
  if (!good) config.refuse("samples.url", "accepted is " + scheme + "HOST:PORT[,HOST:PORT]");
  return servers;
}

std::string read_stream(config_reader& config) {
  auto stream =
      config.required_text("samples.stream", "the stream's name, such as \"clicks_samples\"");
  if (stream.find_first_of(". *>/\\\t") != std::string::npos)
    config.refuse("samples.stream", "accepted is a name without . * > / or spaces");
  return stream;
}

std::string read_topic(config_reader& config) {
  constexpr std::string_view allowed =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
  auto topic =
      config.required_text("samples.topic", "the topic's name, such as \"clicks_samples\"");
  const bool is_empty = topic.empty() && config.has("samples.topic");
  if (is_empty || topic.find_first_not_of(allowed) != std::string::npos)
    config.refuse("samples.topic", "accepted are letters, digits, . _ -");
  return topic;
}

// Keys that say nothing of this engine.
void refuse_others(config_reader& config, sample_engine engine) {
  const auto refuse = [&](const std::string& key, const std::string& needs) {
    if (!config.has("samples." + key)) return;
    config.refuse("samples." + key, "needs samples.engine = " + needs);
    static_cast<void>(config.list("samples." + key));  // so that it is known
  };
  if (engine == sample_engine::segments) {
    for (const char* key : {"url", "user", "password_env", "tls"})
      refuse(key, "\"jetstream\" or \"kafka\"");
  }
  if (engine != sample_engine::jetstream) refuse("stream", "\"jetstream\"");
  if (engine != sample_engine::kafka) refuse("topic", "\"kafka\"");
}

}  // namespace

std::string_view name(sample_engine engine) {
  switch (engine) {
    case sample_engine::segments:
      return "segments";
    case sample_engine::jetstream:
      return "jetstream";
    case sample_engine::kafka:
      return "kafka";
  }
  return "";
}

samples_spec read_samples(config_reader& config) {
  samples_spec made;
  made.engine = config.choice<sample_engine>("samples.engine",
                                             "segments",
                                             {{"segments", sample_engine::segments},
                                              {"jetstream", sample_engine::jetstream},
                                              {"kafka", sample_engine::kafka}});
  refuse_others(config, made.engine);
  if (made.engine == sample_engine::segments) return made;
  made.servers = read_servers(config, made.engine);
  made.stream = made.engine == sample_engine::kafka ? read_topic(config) : read_stream(config);
  made.user = config.text("samples.user", "");
  made.password_env = config.text("samples.password_env", "");
  made.tls = config.flag("samples.tls", false);
  return made;
}

}  // namespace headrace::cli
