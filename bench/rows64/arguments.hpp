#pragma once

#include "bench/rows64/options.hpp"

#include <string>
#include <vector>

namespace headrace::bench {

/// Command lines of the hidden verbs; cli/verb_bench.cpp reads them.
std::vector<std::string> client_arguments(const rows64_options& options);
std::vector<std::string> server_arguments(const rows64_options& options, rows64_peer peer);

/// What a person types to get the same run.
std::string command_line(const rows64_options& options);

}  // namespace headrace::bench
