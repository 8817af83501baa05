#include "bench/available/options.hpp"

namespace headrace::bench {
namespace {

std::vector<std::string> flags_of(const available_options& options) {
  return {"--rate",
          std::to_string(options.rate),
          "--seconds",
          std::to_string(options.seconds),
          "--batch",
          std::to_string(options.batch),
          "--samples",
          std::to_string(options.samples),
          "--wait-ms",
          std::to_string(options.wait_ms),
          "--in-flight",
          std::to_string(options.in_flight),
          "--durable",
          std::string(name(options.durable)),
          "--rounds",
          std::to_string(options.rounds)};
}

}  // namespace

std::string_view name(available_job job) {
  return job == available_job::joined ? "joined" : "labelled";
}

std::vector<std::string> available_arguments(const char* verb, const available_options& options) {
  std::vector<std::string> words = {"bench", verb};
  for (auto& word : flags_of(options)) words.push_back(std::move(word));
  const auto add = [&words](const char* flag, const std::string& value) {
    if (!value.empty()) words.push_back(flag + ("=" + value));
  };
  add("--dir", options.dir.string());
  add("--job", std::string(name(options.job)));
  add("--endpoint", options.endpoint);
  add("--command", options.command);
  if (options.json) words.emplace_back("--json");
  if (options.inside) words.emplace_back("--inside");
  return words;
}

std::string command_line(const available_options& options) {
  std::string line = "headrace bench available";
  for (const auto& word : flags_of(options)) line += " " + word;
  return options.json ? line + " --json" : line;
}

}  // namespace headrace::bench
