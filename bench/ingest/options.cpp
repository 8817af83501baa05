#include "bench/ingest/options.hpp"

#include <algorithm>

namespace headrace::bench {
namespace {

std::vector<std::string> flags_of(const ingest_options& options) {
  return {"--clients",
          std::to_string(options.clients),
          "--events",
          std::to_string(options.events),
          "--batch",
          std::to_string(options.batch),
          "--depth",
          std::to_string(options.depth),
          "--durable",
          std::string(name(options.durable)),
          "--rounds",
          std::to_string(options.rounds)};
}

}  // namespace

std::string_view name(ingest_peer peer) {
  switch (peer) {
    case ingest_peer::headrace:
      return "headrace";
    case ingest_peer::http_json:
      return "http_json";
    case ingest_peer::http_single:
      return "http_single";
    case ingest_peer::redis:
      return "redis";
  }
  return "";
}

ingest_options of_peer(ingest_options options, ingest_peer peer) {
  constexpr std::uint64_t fewer = 10;
  constexpr std::uint32_t connections = 32;  // of one client
  options.peer = peer;
  if (peer == ingest_peer::http_single) {
    options.batch = 1;
    options.depth = connections;
    options.events = std::max<std::uint64_t>(options.clients, options.events / fewer);
  }
  return options;
}

std::vector<std::string> ingest_arguments(const char* verb, const ingest_options& options) {
  std::vector<std::string> words = {"bench", verb};
  for (auto& word : flags_of(options)) words.push_back(std::move(word));
  const auto add = [&words](const char* flag, const std::string& value) {
    if (!value.empty()) words.push_back(flag + ("=" + value));
  };
  add("--dir", options.dir.string());
  add("--redis", options.redis);
  add("--peer", std::string(name(options.peer)));
  add("--endpoint", options.endpoint);
  add("--client", std::to_string(options.client));
  add("--round", std::to_string(options.round));
  add("--command", options.command);
  if (options.json) words.emplace_back("--json");
  if (options.inside) words.emplace_back("--inside");
  return words;
}

std::string command_line(const ingest_options& options) {
  std::string line = "headrace bench ingest";
  for (const auto& word : flags_of(options)) line += " " + word;
  return options.json ? line + " --json" : line;
}

}  // namespace headrace::bench
