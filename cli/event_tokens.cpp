#include "cli/event_tokens.hpp"

#include "actors/http/event_answer.hpp"
#include "cli/job/read_text.hpp"
#include "schemas/event.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>
#include <utility>

namespace headrace::cli {
namespace {

using worker::producer_token;

constexpr std::size_t token_bytes_min = 8;
constexpr std::size_t token_bytes_max = 256;
constexpr const char* accepted = "a token is 8 … 256 printable ASCII bytes without spaces";

bool is_token(std::string_view text) {
  return text.size() >= token_bytes_min && text.size() <= token_bytes_max &&
         std::ranges::all_of(text, [](char c) { return c > 0x20 && c < 0x7f; });
}

result<std::vector<producer_token>> of_environment(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr)
    return error{errc::bad_config, "gate.token_env: there is no environment variable " + name};
  if (!is_token(value))
    return error{errc::bad_config, "gate.token_env: what is in " + name + " is none; " + accepted};
  return std::vector<producer_token>{{"", value}};
}

result<void> check_rights(const std::string& path) {
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0) {
    const errc code = errno == ENOENT ? errc::not_found : errc::io_error;
    return error{code, "gate.token_file: '" + path + "': " + std::strerror(errno)};
  }
  if (!S_ISREG(about.st_mode))
    return error{errc::bad_config, "gate.token_file: '" + path + "' is no file"};
  if ((about.st_mode & 077) != 0) {
    return error{errc::bad_config,
                 "gate.token_file: others may read or write '" + path + "'; chmod 600 it"};
  }
  if (about.st_uid != ::geteuid() && about.st_uid != 0)
    return error{errc::bad_config, "gate.token_file: '" + path + "' belongs to another user"};
  return {};
}

result<std::vector<producer_token>> of_file(const std::string& path) {
  if (auto checked = check_rights(path); !checked) return checked.error();
  const auto text = read_text(path, "gate.token_file");
  if (!text) return text.error();
  std::vector<producer_token> tokens;
  std::size_t number = 0;
  for (std::string_view rest = *text; !rest.empty();) {
    std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.starts_with('#')) continue;
    const auto space = line.find(' ');
    const bool named = space != std::string_view::npos;
    const std::string_view token = named ? line.substr(space + 1) : line;
    const std::string_view producer = named ? line.substr(0, space) : std::string_view();
    if (!is_token(token) || (named && producer.empty()) ||
        producer.size() > schemas::producer_bytes_max) {
      return error{errc::bad_config,
                   "gate.token_file: '" + path + "', line " + std::to_string(number) +
                       ": expected TOKEN or PRODUCER TOKEN; " + accepted};
    }
    tokens.push_back({std::string(producer), std::string(token)});
  }
  if (tokens.empty())
    return error{errc::bad_config, "gate.token_file: '" + path + "' has no token"};
  return tokens;
}

}  // namespace

result<std::vector<producer_token>> read_tokens(const gate_spec& gate) {
  if (!gate.token_env.empty()) return of_environment(gate.token_env);
  if (!gate.token_file.empty()) return of_file(gate.token_file);
  return std::vector<producer_token>{};
}

result<void> known(const std::vector<worker::producer_token>& tokens, std::string_view given) {
  bool found = tokens.empty();
  for (const auto& one : tokens) found |= worker::is_same_secret(given, one.token);
  if (found) return {};
  return error{errc::unauthorized,
               given.empty() ? "a token is needed" : "this token is not known here"};
}

actors::http_route guarded(std::vector<worker::producer_token> tokens, actors::http_route route) {
  route.admit = [tokens = std::move(tokens)](const actors::http_request& head, std::uint64_t) {
    const auto let_in = known(tokens, head.bearer);
    return let_in ? std::nullopt : std::optional(actors::answer_of(let_in.error()));
  };
  return route;
}

}  // namespace headrace::cli
