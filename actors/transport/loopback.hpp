#pragma once

#include <string_view>

namespace headrace::actors {

/// Whether "address:port" stays on this host. Every listener asks this one: peers have no keys yet.
inline bool is_loopback(std::string_view address) { return address.starts_with("127."); }

}  // namespace headrace::actors
