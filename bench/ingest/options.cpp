#include "bench/ingest/options.hpp"

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
  return peer == ingest_peer::redis ? "redis" : "headrace";
}

std::vector<std::string> ingest_arguments(const char* verb, const ingest_options& options) {
  std::vector<std::string> words = {"bench", verb};
  for (auto& word : flags_of(options)) words.push_back(std::move(word));
  const std::vector<std::string> hidden = {"--dir=" + options.dir.string(),
                                           "--redis=" + options.redis,
                                           "--peer=" + std::string(name(options.peer)),
                                           "--endpoint=" + options.endpoint,
                                           "--client=" + std::to_string(options.client),
                                           "--round=" + std::to_string(options.round),
                                           "--command=" + options.command};
  words.insert(words.end(), hidden.begin(), hidden.end());
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
