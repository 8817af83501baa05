#include "cli/job/http_place.hpp"

#include "base/parse_number.hpp"

namespace headrace::cli {

bool is_host_port(std::string_view text, std::uint32_t least) {
  const auto colon = text.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return false;
  const auto port = parse_number<std::uint32_t>(text.substr(colon + 1));
  return text.substr(0, colon).find_first_of("/@?# \t") == std::string_view::npos && port &&
         *port >= least && *port <= 65'535;
}

std::optional<std::string> http_place(std::string_view uri) {
  constexpr std::string_view http = "http://";
  if (!uri.starts_with(http)) return std::nullopt;
  std::string_view at = uri.substr(http.size());
  if (at.ends_with('/')) at.remove_suffix(1);
  if (!at.starts_with("127.") || !is_host_port(at, 0)) return std::nullopt;
  return std::string(at);
}

}  // namespace headrace::cli
