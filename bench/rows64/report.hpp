#pragma once

#include "bench/rows64/measurement.hpp"

#include <string>

namespace headrace::bench {

/// One JSON object on one line; medians over the rounds, `spread` = [min, max].
std::string to_json(const rows64_options& options, const rows64_points& points);
/// The same for people: peer, limit, ours, ratio.
std::string to_table(const rows64_options& options, const rows64_points& points);

}  // namespace headrace::bench
