#pragma once

#include "base/result.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::bench {

/// Starts this program again, in a session of its own, with what `arguments` makes of the run's
/// folder: a new one below `dir`, removed with everything in it at the end. Passes signals on
/// (`stop` waits as long as it is told and says whether one has come). Returns the exit status: the
/// child's, 1 when it could not be started (one line on standard error, after `name`), 130 after a
/// signal.
int run_in_own_session(
    std::string_view name,
    const std::filesystem::path& dir,
    std::uintmax_t bytes_free,
    const std::function<std::vector<std::string>(const std::filesystem::path&)>& arguments,
    const std::function<bool(std::chrono::milliseconds)>& stop);

/// One line on standard error; gives the exit status.
int complain(std::string_view name, const error& failure);

}  // namespace headrace::bench
