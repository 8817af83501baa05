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

std::vector<std::string> switches_of(const rows64_options& options) {
  std::vector<std::string> switches;
  if (options.row_store) switches.emplace_back("--row-store");
  if (options.tail_in_memory) switches.emplace_back("--tail-in-memory");
  if (options.quantize) switches.emplace_back("--quantize");
  if (options.kill) switches.emplace_back("--kill");
  return switches;
}

/// All flags, behind `verb`.
std::vector<std::string> words_of(std::vector<std::string> verb, const rows64_options& options) {
  const auto flags = flags_of(options);
  const auto switches = switches_of(options);
  verb.insert(verb.end(), flags.begin(), flags.end());
  verb.insert(verb.end(), switches.begin(), switches.end());
  return verb;
}

}  // namespace

std::string_view name(rows64_op op) { return op == rows64_op::push ? "push" : "pull"; }
std::string_view name(rows64_transport transport) {
  switch (transport) {
    case rows64_transport::tcp:
      return "tcp";
    case rows64_transport::ipc:
      return "ipc";
    case rows64_transport::inproc:
      return "inproc";
  }
  return "";
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

result<void> check(const rows64_options& options) {
  if (options.quantize && options.codec != schemas::value_codec::int8)
    return error{errc::bad_config, "--quantize needs --codec int8"};
  if (options.tail_in_memory && !options.row_store)
    return error{errc::bad_config, "--tail-in-memory needs --row-store"};
  if (!options.kill) return {};
  const auto refused = [](const char* why) {
    return error{errc::bad_config, std::string("--kill ") + why};
  };
  if (options.op != rows64_op::push)
    return refused("needs --op push: a pull leaves nothing behind");
  if (options.optimizer != schemas::optimizer_kind::add)
    return refused("needs --optimizer add: its sums are exact");
  if (options.durable == schemas::log_mode::none)
    return refused("needs --durable os or fsync: `none` promises nothing to a killed server");
  if (options.transport == rows64_transport::inproc)
    return refused("needs --transport tcp or ipc: inproc has no server process of its own");
  return {};
}

rows64_transport plain_transport(const rows64_options& options) {
  return options.transport == rows64_transport::ipc ? rows64_transport::ipc : rows64_transport::tcp;
}

std::string listen_endpoint(const rows64_options& options, rows64_peer peer) {
  if (options.transport != rows64_transport::ipc) return "tcp://127.0.0.1:*";
  return "ipc://" + (std::filesystem::absolute(options.dir) / name(peer)).string() + ".socket";
}

std::vector<std::string> client_arguments(const rows64_options& options) {
  auto arguments = words_of({"bench", "rows64-client"}, options);
  arguments.insert(arguments.end(), {"--command", options.command});
  if (options.json) arguments.emplace_back("--json");
  return arguments;
}

std::vector<std::string> server_arguments(const rows64_options& options, rows64_peer peer) {
  auto arguments = words_of({"bench", "rows64-server"}, options);
  arguments.insert(arguments.end(), {"--peer", std::string(name(peer))});
  return arguments;
}

std::string command_line(const rows64_options& options) {
  std::string line = "headrace bench rows64";
  const auto flags = flags_of(options);
  for (std::size_t i = 0; i + 1 < flags.size(); i += 2) {
    if (flags[i] != "--dir") line += " " + flags[i] + " " + flags[i + 1];
  }
  for (const auto& word : switches_of(options)) line += " " + word;
  return options.json ? line + " --json" : line;
}

}  // namespace headrace::bench
