#include "bench/torch/layer_run.hpp"

#include "bench/rows64/own_session.hpp"
#include "bench/rows64/process.hpp"

#include <csignal>
#include <cstdio>
#include <utility>

namespace headrace::bench {
namespace {

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

/// The command line that asks for this.
std::vector<std::string> arguments_of(const std::string& name,
                                      std::vector<std::string> flags,
                                      const layer_run& run) {
  std::vector<std::string> words = {"bench", name};
  words.insert(words.end(), flags.begin(), flags.end());
  words.insert(words.end(),
               {"--threads",
                std::to_string(run.threads),
                "--seconds",
                number(run.seconds),
                "--rounds",
                std::to_string(run.rounds)});
  if (run.python != system_python) words.insert(words.end(), {"--python", run.python});
  if (run.json) words.emplace_back("--json");
  return words;
}

}  // namespace

int run_layer_bench(const std::string& name,
                    std::vector<std::string> flags,
                    const layer_run& run,
                    const std::function<result<void>(const run_facts&)>& measure,
                    const std::function<bool(std::chrono::milliseconds)>& stop) {
  const std::vector<std::string> words = arguments_of(name, std::move(flags), run);
  if (!run.inside) {
    const auto arguments = [&](const std::filesystem::path& folder) {
      auto all = words;
      all.insert(all.end(), {"--inside", "--folder", folder.string()});
      return all;
    };
    return run_in_own_session(name, std::filesystem::temp_directory_path(), 0, arguments, stop);
  }
  end_with_parent();
  keep_large_blocks();
  std::signal(SIGPIPE, SIG_IGN);  // a peer that ended is an error, not the end
  run_facts facts = {.weight = raise_autogroup_weight(), .command = "headrace"};
  for (const std::string& word : words) facts.command += " " + word;
  if (const auto measured = measure(facts); !measured) return complain(name, measured.error());
  if (!run.json) std::fputs(to_table(facts).c_str(), stdout);
  return 0;
}

}  // namespace headrace::bench
