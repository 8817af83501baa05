#pragma once

#include "base/config.hpp"
#include "worker/ingest/source_spec.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::cli {

/// Whether a column may stand there; refuses it by its key where it may not.
using column_use = std::function<void(std::string_view key, const std::string& column)>;

/// Reads what `[features.NAME]` of a window says of its window: `of`, `over`, `on`, `where`.
/// `actions` are those of the join. What is wrong is remembered by `config`.
worker::sliding_window read_window(config_reader& config,
                                   const std::string& section,
                                   worker::sliding_window::measure is,
                                   const std::vector<std::string>& actions,
                                   const column_use& check);

/// Reads `[windows]`, which is refused where no feature has one.
void read_window_limits(config_reader& config, worker::source_spec& source);

}  // namespace headrace::cli
