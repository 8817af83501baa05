#include "bench/gates/gate_options.hpp"
#include "bench/rows64/own_session.hpp"
#include "bench/rows64/process.hpp"

#include <cstdio>
#include <fstream>
#include <iterator>
#include <vector>

namespace headrace::bench {
namespace {

/// The command line of this process behind its name, without `--dir` and what follows it: every run
/// has a folder of its own.
std::vector<std::string> typed_arguments() {
  std::ifstream in("/proc/self/cmdline", std::ios::binary);
  const std::string all((std::istreambuf_iterator<char>(in)), {});
  std::vector<std::string> words;
  for (std::size_t at = 0; at < all.size();) {
    const std::size_t end = all.find('\0', at);
    words.push_back(all.substr(at, end - at));
    at = end == std::string::npos ? all.size() : end + 1;
  }
  std::vector<std::string> kept;
  for (std::size_t i = 1; i < words.size(); ++i) {
    if (words[i] == "--dir") {
      ++i;
    } else if (!words[i].starts_with("--dir=")) {
      kept.push_back(words[i]);
    }
  }
  return kept;
}

std::string joined(const std::vector<std::string>& words) {
  std::string line = "headrace";
  for (const auto& word : words) line += " " + word;
  return line;
}

}  // namespace

int run_gate_bench(const gate_options& options,
                   std::uintmax_t bytes,
                   const std::function<result<gate_report>(const gate_options&)>& measure,
                   const std::function<bool(std::chrono::milliseconds)>& stop) {
  if (!options.inside) {
    const auto arguments = [](const std::filesystem::path& folder) {
      auto words = typed_arguments();
      const std::string typed = joined(words);
      words.insert(words.end(), {"--inside", "--dir", folder.string(), "--command", typed});
      return words;
    };
    return run_in_own_session("gate", options.dir, bytes, arguments, stop);
  }
  end_with_parent();
  keep_large_blocks();
  const std::string weight = raise_autogroup_weight();
  auto report = measure(options);
  if (!report) return complain("gate", report.error());
  report->weight = weight;
  report->command = options.command;
  const std::string text = options.json ? to_json(*report) + "\n" : to_table(*report);
  std::fputs(text.c_str(), stdout);
  return 0;
}

}  // namespace headrace::bench
