#include "cli/job/samples_section.hpp"

#include "cli/job/http_place.hpp"

#include <algorithm>

namespace headrace::cli {
namespace {

constexpr std::string_view nats = "nats://";

// "nats://a:1,b:2" as the client wants it, with the scheme before each.
std::string read_servers(config_reader& config) {
  const std::string url =
      config.required_text("samples.url", "where the stream is, such as \"nats://127.0.0.1:4222\"");
  if (url.empty()) return {};
  std::string servers;
  std::string_view rest(url);
  bool good = rest.starts_with(nats);
  if (good) rest.remove_prefix(nats.size());
  while (good) {
    const auto end = std::min(rest.find(','), rest.size());
    const auto host = rest.substr(0, end);
    good = is_host_port(host, 1);
    servers += (servers.empty() ? "" : ",") + std::string(nats) + std::string(host);
    if (end == rest.size()) break;
    rest.remove_prefix(end + 1);
  }
  if (!good) config.refuse("samples.url", "accepted is nats://HOST:PORT[,HOST:PORT]");
  return servers;
}

}  // namespace

std::string_view name(sample_engine engine) {
  return engine == sample_engine::jetstream ? "jetstream" : "segments";
}

samples_spec read_samples(config_reader& config) {
  samples_spec made;
  made.engine = config.choice<sample_engine>(
      "samples.engine",
      "segments",
      {{"segments", sample_engine::segments}, {"jetstream", sample_engine::jetstream}});
  if (made.engine == sample_engine::segments) {
    for (const std::string key : {"url", "stream", "user", "password_env", "tls"}) {
      if (!config.has("samples." + key)) continue;
      config.refuse("samples." + key, "needs samples.engine = \"jetstream\"");
      static_cast<void>(config.list("samples." + key));  // so that it is known
    }
    return made;
  }
  made.servers = read_servers(config);
  made.stream =
      config.required_text("samples.stream", "the stream's name, such as \"clicks_samples\"");
  if (made.stream.find_first_of(". *>/\\\t") != std::string::npos)
    config.refuse("samples.stream", "accepted is a name without . * > / or spaces");
  made.user = config.text("samples.user", "");
  made.password_env = config.text("samples.password_env", "");
  made.tls = config.flag("samples.tls", false);
  return made;
}

}  // namespace headrace::cli
