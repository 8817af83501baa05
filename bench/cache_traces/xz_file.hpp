#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace headrace::bench {

/// The content of an .xz file, whole. Fails: not_found, bad_input (damaged, names the file).
result<std::vector<std::byte>> read_xz(const std::string& path);

}  // namespace headrace::bench
