#include "cli/job/live_section.hpp"

#include "actors/transport/context.hpp"
#include "base/parse_number.hpp"
#include "cli/job/http_place.hpp"
#include "schemas/event.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

namespace headrace::cli {
namespace {

using worker::arrival;

constexpr std::uint64_t ms = 1'000'000;  // nanoseconds
constexpr std::uint64_t minute = 60'000 * ms;
constexpr std::uint64_t day = 1'440 * minute;
constexpr std::size_t actions_max = 64;
constexpr std::int64_t any_max = 1'000'000'000'000;
constexpr std::int64_t join_memory_default = std::int64_t{256} << 20;
constexpr std::uint64_t join_memory_least = std::uint64_t{64} << 10;  // sixteen small blocks

constexpr std::array<std::pair<std::string_view, arrival>, 5> schemes{{
    {"http://", arrival::pushed},
    {"zmq://", arrival::pushed},
    {"kafka://", arrival::kafka},
    {"nats://", arrival::jetstream},
    {"redis://", arrival::redis},
}};

std::vector<std::string> split(std::string_view text, char at) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == at) parts.emplace_back();
    if (c != at) parts.back() += c;
  }
  return parts;
}

// One place where events are taken, for the front that takes them.
void read_endpoint(config_reader& config,
                   const std::string& key,
                   std::string_view uri,
                   worker::live_spec& live) {
  constexpr std::string_view zmq = "zmq://";
  if (uri.starts_with("http://")) {
    const auto at = http_place(uri);
    if (!at) return config.refuse(key, http_accepted);
    live.http.push_back(*at);
    return;
  }
  if (!uri.starts_with(zmq))
    return config.refuse(key, "accepted are http://127.0.0.1:PORT and zmq://127.0.0.1:PORT");
  const std::string rest(uri.substr(zmq.size()));
  const bool is_path = rest.starts_with('/');
  const std::string endpoint = (is_path ? "ipc://" : "tcp://") + rest;
  if (const auto checked = actors::check_listen_endpoint(endpoint); !checked)
    return config.refuse(key, checked.error().detail);
  if (!is_path && !is_host_port(rest, 0))
    return config.refuse(
        key, "accepted is zmq://127.0.0.1:PORT, port 0 (any free one) … 65535, or zmq:///PATH");
  live.zmq.push_back(endpoint);
}

void read_endpoints(config_reader& config, worker::source_spec& source) {
  read_endpoint(config, "source.uri", source.uri, source.live);
  std::vector<std::string> all{source.uri};
  for (const std::string& uri : config.list("source.listen")) {
    const bool twice = std::ranges::find(all, uri) != all.end();
    if (twice) config.refuse("source.listen", "'" + uri + "' is there twice, source.uri included");
    if (!twice) read_endpoint(config, "source.listen", uri, source.live);
    all.push_back(uri);
  }
}

// host:port[,host:port] behind the scheme, as the client of the broker wants it.
void read_brokers(config_reader& config, worker::source_spec& source) {
  const std::string scheme = source.uri.substr(0, source.uri.find("://") + 3);
  const std::string rest = source.uri.substr(scheme.size());
  if (source.arrives == arrival::redis && rest.starts_with('/')) {
    source.live.brokers = "unix:" + rest;
    return;
  }
  const auto hosts = split(rest, ',');
  const bool good =
      std::ranges::all_of(hosts, [](const std::string& each) { return is_host_port(each, 1); }) &&
      (source.arrives != arrival::redis || hosts.size() == 1);
  if (!good) {
    return config.refuse("source.uri",
                         source.arrives == arrival::redis
                             ? "accepted is redis://HOST:PORT or redis:///PATH"
                             : "accepted is " + scheme + "HOST:PORT[,HOST:PORT]");
  }
  for (const std::string& host : hosts) {
    source.live.brokers += source.live.brokers.empty() ? "" : ",";
    source.live.brokers += (source.arrives == arrival::jetstream ? scheme : "") + host;
  }
}

void read_topics(config_reader& config, worker::source_spec& source) {
  const bool kafka = source.arrives == arrival::kafka;
  const std::string key = kafka ? "source.topics" : "source.stream";
  auto& topics = source.live.topics;
  topics = config.list(key);
  const char* what = kafka ? "topics are needed, such as \"clicks\""
                     : source.arrives == arrival::jetstream ? "one stream is needed"
                                                            : "streams are needed, their keys";
  if (topics.empty() || (source.arrives == arrival::jetstream && topics.size() > 1))
    config.refuse(key, what);
  for (const std::string& topic : topics) {
    if (topic.empty()) config.refuse(key, "accepted are names that are not empty");
    if (std::ranges::count(topics, topic) > 1) config.refuse(key, "'" + topic + "' is there twice");
  }
}

void read_broker(config_reader& config, const std::string& job_name, worker::source_spec& source) {
  worker::live_spec& live = source.live;
  read_brokers(config, source);
  read_topics(config, source);
  if (source.arrives == arrival::jetstream) live.subject = config.text("source.subject", "");
  live.group = config.text("source.group", job_name);
  if (live.group.empty()) config.refuse("source.group", "accepted is text that is not empty");
  live.dead_letter = config.text("source.dead_letter", "");
  if (std::ranges::find(live.topics, live.dead_letter) != live.topics.end())
    config.refuse("source.dead_letter", "is one of those that are read: it would come back");
  live.user = config.text("source.user", "");
  live.password_env = config.text("source.password_env", "");
  live.tls = config.flag("source.tls", false);
}

// Keys of `[source]` that count for some ways to come only.
void refuse_others(config_reader& config, arrival way) {
  const auto refuse_unless = [&](bool fits, const char* needed, auto... keys) {
    for (const std::string& key : {std::string("source.") + keys...}) {
      if (fits || !config.has(key)) continue;
      config.refuse(key, std::string("needs source.uri = ") + needed);
      static_cast<void>(config.list(key));  // so that it is known
    }
  };
  refuse_unless(way == arrival::pushed, "\"http://…\" or \"zmq://…\"", "listen");
  refuse_unless(way == arrival::kafka, "\"kafka://…\"", "topics");
  refuse_unless(way == arrival::jetstream || way == arrival::redis,
                "\"nats://…\" or \"redis://…\"",
                "stream");
  refuse_unless(way == arrival::jetstream, "\"nats://…\"", "subject");
  refuse_unless(worker::is_of_broker(way),
                "\"kafka://…\", \"nats://…\" or \"redis://…\"",
                "group",
                "dead_letter",
                "user",
                "password_env",
                "tls");
  refuse_unless(
      worker::is_live(way), "\"zmq://…\", \"kafka://…\", \"nats://…\" or \"redis://…\"", "status");
  refuse_unless(!worker::is_live(way), "a file or a generated stream", "duration");
}

// True where the section counts. Where it doesn't, but is there, its first key is refused once the
// caller has read it.
class live_only {
 public:
  live_only(config_reader& config, const char* section, const worker::source_spec& source)
      : config_(config), section_(section), live_(worker::is_live(source.arrives)) {}
  ~live_only() {
    if (!live_ && config_.has(section_))
      config_.refuse(section_,
                     "needs live events: source.uri = \"http://…\", \"zmq://…\", \"kafka://…\", "
                     "\"nats://…\" or \"redis://…\"");
  }
  live_only(const live_only&) = delete;
  live_only& operator=(const live_only&) = delete;
  bool is_read() const { return live_ || config_.has(section_); }

 private:
  config_reader& config_;
  const char* section_;
  bool live_;
};

void read_versions(config_reader& config, std::vector<std::uint32_t>& into) {
  for (const std::string& text : config.list("gate.schema_versions")) {
    const auto version = parse_number<std::uint32_t>(text);
    if (!version)
      return config.refuse("gate.schema_versions", "accepted is a list of numbers, 0 … 4294967295");
    into.push_back(*version);
  }
}

std::uint64_t read_ms(config_reader& config,
                      const char* key,
                      std::uint64_t fallback_ms,
                      std::uint64_t max_ns) {
  return config.duration_ns(key, fallback_ms * ms, {0, max_ns}) / ms;
}

}  // namespace

std::optional<arrival> live_arrival(std::string_view uri) {
  for (const auto& [scheme, way] : schemes)
    if (uri.starts_with(scheme)) return way;
  return std::nullopt;
}

void read_live_source(config_reader& config,
                      const std::string& job_name,
                      worker::source_spec& source) {
  refuse_others(config, source.arrives);
  if (source.arrives == arrival::pushed) read_endpoints(config, source);
  if (worker::is_of_broker(source.arrives)) read_broker(config, job_name, source);
  if (!worker::is_live(source.arrives)) return;
  source.live.keep_ms = read_ms(config, "source.keep", source.live.keep_ms, 36'500 * day);
  source.live.keep_bytes = config.bytes(
      "source.keep_bytes", static_cast<std::int64_t>(source.live.keep_bytes), {0, INT64_MAX});
}

std::vector<std::string> read_http_endpoints(config_reader& config,
                                             const worker::source_spec& source,
                                             const std::string& listen) {
  if (!worker::is_live(source.arrives)) return {};
  const std::string uri = config.text("source.status", "");
  const auto& pushed = source.live.http;
  if (!uri.empty() && !pushed.empty())
    config.refuse("source.status", "is answered where events are pushed over HTTP: leave it out");
  if (!pushed.empty()) return pushed;
  if (!uri.empty()) {
    const auto named = http_place(uri);
    if (!named) config.refuse("source.status", http_accepted);
    return {named.value_or("")};
  }
  const auto port =
      listen.starts_with("tcp://")
          ? parse_number<std::uint32_t>(std::string_view(listen).substr(listen.rfind(':') + 1))
          : std::nullopt;
  if (!port || *port == 0) return {"127.0.0.1:0"};
  return {"127.0.0.1:" + std::to_string(*port < 65'535 ? *port + 1 : *port - 1)};
}

gate_spec read_gate(config_reader& config, const worker::source_spec& source) {
  gate_spec made;
  const live_only section(config, "gate", source);
  if (!section.is_read()) return made;
  made.gate.future_ms_max =
      read_ms(config, "gate.max_future", made.gate.future_ms_max, 36'500 * day);
  made.gate.past_ms_max = read_ms(config, "gate.max_past", 0, 36'500 * day);
  made.gate.needs_id = config.flag("gate.needs_id", false);
  made.gate.duplicate_ids = static_cast<std::uint64_t>(
      config.whole("gate.duplicate_ids",
                   static_cast<std::int64_t>(made.gate.duplicate_ids),
                   {0, static_cast<std::int64_t>(worker::duplicate_window::ids_most)}));
  read_versions(config, made.gate.schema_versions);
  made.producers.events_per_second =
      static_cast<std::uint64_t>(config.whole("gate.events_per_second", 0, {0, any_max}));
  made.producers.bytes_per_second = config.bytes("gate.bytes_per_second", 0, {0, INT64_MAX});
  made.producers.quarantine_share = config.number("gate.quarantine_share", 0.0, {0.0, 1.0});
  made.token_env = config.text("gate.token_env", "");
  made.token_file = config.text("gate.token_file", "");
  if (!made.token_env.empty() && !made.token_file.empty())
    config.refuse("gate.token_file", "accepted is one of gate.token_env and gate.token_file");
  return made;
}

std::optional<join_section> read_join(config_reader& config, worker::source_spec& source) {
  const live_only section(config, "join", source);
  if (!config.has("join")) return std::nullopt;
  join_section made;
  made.how.window_ms = config.duration_ns("join.window", 0, {0, 365 * day}) / ms;
  if (made.how.window_ms == 0)
    config.refuse("join.window",
                  "how long an impression waits for its actions, \"1ms\" … \"365d\", is needed");
  made.how.out_of_order_ms = read_ms(config, "join.out_of_order", 0, 30 * day);
  made.how.correct_ms = read_ms(config, "join.correct", 0, 365 * day);
  made.how.negative_share =
      static_cast<float>(config.number("join.negative_share", 1.0, {0.0, 1.0, true}));
  made.how.seed = static_cast<std::uint64_t>(config.whole("join.seed", 1, {0, INT64_MAX}));
  made.how.pending_max = static_cast<std::uint64_t>(config.whole(
      "join.pending_max", static_cast<std::int64_t>(made.how.pending_max), {1, 1'000'000'000}));
  made.how.memory_bytes_max =
      static_cast<std::uint64_t>(config.bytes("join.memory", join_memory_default, {0, INT64_MAX}));
  if (made.how.memory_bytes_max > 0 && made.how.memory_bytes_max < join_memory_least)
    config.refuse("join.memory", "accepted is 0 (any), or 64KiB and more");
  made.actions = config.list("join.actions");
  if (made.actions.empty() || made.actions.size() > actions_max)
    config.refuse("join.actions",
                  "accepted is a list of 1 … 64 actions that are labels, such as [\"click\"]");
  for (const std::string& action : made.actions) {
    if (action.empty() || action.size() > schemas::event_name_bytes_max)
      config.refuse("join.actions", "accepted are names of 1 … 128 bytes");
    if (std::ranges::count(made.actions, action) > 1)
      config.refuse("join.actions", "'" + action + "' is there twice");
  }
  if (config.has("source.label")) {
    config.refuse("source.label", "a job that joins has the actions of [join] as its labels");
    static_cast<void>(config.list("source.label"));  // so that it is known
  }
  made.how.actions = static_cast<std::uint32_t>(std::max<std::size_t>(1, made.actions.size()));
  source.more_labels.clear();
  for (std::size_t a = 0; a < made.actions.size(); ++a) {
    worker::label_spec label;
    label.name = made.actions[a];
    if (a == 0) source.label = label;
    if (a > 0) source.more_labels.push_back(label);
  }
  return made;
}

}  // namespace headrace::cli
