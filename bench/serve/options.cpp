#include "bench/serve/options.hpp"

namespace headrace::bench {
namespace {

void add(std::vector<std::string>& words, const char* flag, std::uint32_t value) {
  words.emplace_back(flag);
  words.push_back(std::to_string(value));
}

void add_text(std::vector<std::string>& words, const char* flag, const std::string& value) {
  if (!value.empty()) words.push_back(flag + ("=" + value));
}

std::vector<std::string> flags_of(const serve_options& options) {
  std::vector<std::string> words;
  add(words, "--rate", options.rate);
  add(words, "--seconds", options.seconds);
  add(words, "--rounds", options.rounds);
  add(words, "--connections", options.connections);
  add(words, "--candidates", options.candidates);
  add(words, "--rows", options.rows);
  add(words, "--events", options.events);
  add(words, "--dim", options.dim);
  add(words, "--user-columns", options.user_columns);
  add(words, "--item-columns", options.item_columns);
  add(words, "--threads", options.threads);
  return words;
}

std::vector<std::string> flags_of(const freshness_options& options) {
  std::vector<std::string> words;
  add(words, "--rate", options.rate);
  add(words, "--seconds", options.seconds);
  add(words, "--warm-seconds", options.warm_seconds);
  add(words, "--push", options.push);
  add(words, "--probe-ms", options.probe_ms);
  add(words, "--ask-ms", options.ask_ms);
  add(words, "--batch-max", options.batch_max);
  add(words, "--wait-ms", options.wait_ms);
  add(words, "--in-flight", options.in_flight);
  add(words, "--interval-ms", options.interval_ms);
  add(words, "--dim", options.dim);
  words.insert(words.end(), {"--arch", options.arch});
  return words;
}

template <class Options>
std::vector<std::string> words_of(const char* verb, const Options& options) {
  std::vector<std::string> words = {"bench", verb};
  for (auto& word : flags_of(options)) words.push_back(std::move(word));
  add_text(words, "--dir", options.dir.string());
  add_text(words, "--address", options.address);
  add_text(words, "--command", options.command);
  if (options.json) words.emplace_back("--json");
  if (options.inside) words.emplace_back("--inside");
  return words;
}

template <class Options>
std::string line_of(const char* verb, const Options& options) {
  std::string line = std::string("headrace bench ") + verb;
  for (const auto& word : flags_of(options)) line += " " + word;
  return options.json ? line + " --json" : line;
}

}  // namespace

std::vector<std::string> serve_arguments(const char* verb, const serve_options& options) {
  auto words = words_of(verb, options);
  add_text(words, "--what", options.what);
  add(words, "--answer-bytes", options.answer_bytes);
  return words;
}

std::string command_line(const serve_options& options) { return line_of("serve", options); }

std::vector<std::string> freshness_arguments(const char* verb, const freshness_options& options) {
  auto words = words_of(verb, options);
  add_text(words, "--events", options.events);
  add_text(words, "--status", options.status);
  return words;
}

std::string command_line(const freshness_options& options) { return line_of("freshness", options); }

}  // namespace headrace::bench
