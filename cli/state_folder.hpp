#pragma once

#include "base/result.hpp"

#include <filesystem>
#include <string>

/// Where state lies when `--state` does not say.
namespace headrace::cli {

/// $XDG_STATE_HOME/headrace, or ~/.local/state/headrace.
std::filesystem::path state_home();
/// state_home()/JOB.
std::filesystem::path default_state(const std::string& job_name);

/// A new folder state_home()/demo-YYYYMMDD-HHMMSS for a demo. Of the older ones the two newest
/// stay; only folders whose name begins with `demo-` and that hold a job are removed. Fails:
/// io_error.
result<std::filesystem::path> new_demo_state();

}  // namespace headrace::cli
