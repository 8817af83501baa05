#pragma once

#include "bench/ingest/measurement.hpp"

#include <string>

namespace headrace::bench {

/// One JSON object on one line; medians over the rounds, `spread` = [min, max].
std::string to_json(const ingest_options& options, const ingest_points& points);
/// The same for people.
std::string to_table(const ingest_options& options, const ingest_points& points);

}  // namespace headrace::bench
