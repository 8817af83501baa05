#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace headrace::cli {

/// host:port of http://127.0.0.1:PORT, port 0 (any free one) … 65535; nothing when it is none.
std::optional<std::string> http_place(std::string_view uri);

/// What is said of a key whose text is none.
inline constexpr const char* http_accepted =
    "accepted is http://127.0.0.1:PORT, port 0 (any free one) … 65535: loopback";

/// "host:port", the host without anything that belongs elsewhere in a URI; the port from `least`.
bool is_host_port(std::string_view text, std::uint32_t least);

}  // namespace headrace::cli
