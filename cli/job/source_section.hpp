#pragma once

#include "base/config.hpp"
#include "cli/job/job_file.hpp"

#include <optional>
#include <string_view>

namespace headrace::cli {

/// Reads `[source]` and `[features.*]` of a job file into `made.source` and the pace. What is wrong
/// is remembered by `config` (base/config.hpp).
void read_source(config_reader& config, job& made);

/// 1 … 64 letters, digits, _ - and ., not beginning with a dot: fit for the wire and for a folder.
bool is_plain_name(std::string_view text);

/// `rating >= 4`; the column may hold spaces, so the comparison is looked for from the right. Its
/// name is empty.
std::optional<worker::label_spec> parse_comparison(std::string_view text);

}  // namespace headrace::cli
