#include "bench/rows64/options.hpp"

#include "bench/rows64/arguments.hpp"

#include <charconv>

namespace headrace::bench {
namespace {

std::string to_text(double value) {
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, value);
  return {digits, end.ptr};
}

/// Every option but the output form, as flags.
std::vector<std::string> flags_of(const rows64_options& options) {
  return {"--op",        std::string(name(options.op)),
          "--transport", std::string(name(options.transport)),
          "--codec",     std::string(name(options.codec)),
          "--batch",     std::to_string(options.batch),
          "--depth",     std::to_string(options.depth),
          "--durable",   std::string(name(options.durable)),
          "--optimizer", std::string(name(options.optimizer)),
          "--dir",       options.dir.string(),
          "--rounds",    std::to_string(options.rounds),
          "--seconds",   to_text(options.seconds),
          "--shards",    std::to_string(options.shards)};
}

}  // namespace

std::string_view name(rows64_op op) { return op == rows64_op::push ? "push" : "pull"; }
std::string_view name(rows64_transport transport) {
  return transport == rows64_transport::tcp ? "tcp" : "inproc";
}
std::string_view name(rows64_peer peer) {
  switch (peer) {
    case rows64_peer::headrace:
      return "headrace";
    case rows64_peer::empty:
      return "empty";
    case rows64_peer::plain:
      return "plain";
  }
  return "";
}
std::vector<std::string> client_arguments(const rows64_options& options) {
  std::vector<std::string> arguments = flags_of(options);
  arguments.insert(arguments.begin(), {"bench", "rows64-client"});
  arguments.insert(arguments.end(), {"--command", options.command});
  if (options.json) arguments.emplace_back("--json");
  return arguments;
}

std::vector<std::string> server_arguments(const rows64_options& options, rows64_peer peer) {
  std::vector<std::string> arguments = flags_of(options);
  arguments.insert(arguments.begin(), {"bench", "rows64-server"});
  arguments.insert(arguments.end(), {"--peer", std::string(name(peer))});
  return arguments;
}

std::string command_line(const rows64_options& options) {
  std::string line = "headrace bench rows64";
  const auto flags = flags_of(options);
  for (std::size_t i = 0; i + 1 < flags.size(); i += 2) {
    if (flags[i] != "--dir") line += " " + flags[i] + " " + flags[i + 1];
  }
  return options.json ? line + " --json" : line;
}

}  // namespace headrace::bench
