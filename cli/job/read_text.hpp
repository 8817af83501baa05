#pragma once

#include "base/result.hpp"

#include <filesystem>
#include <string>
#include <string_view>

namespace headrace::cli {

/// A whole file of text that a person wrote; `what` it is, for messages. Fails: not_found,
/// io_error, bad_input (a folder).
result<std::string> read_text(const std::filesystem::path& file, std::string_view what);

}  // namespace headrace::cli
