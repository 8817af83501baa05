#pragma once

#include "base/result.hpp"
#include "cli/run_result.hpp"
#include "cli/run_series.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace headrace::cli {

/// The report of a run: one self-contained HTML file with inline SVG charts (AUC online and frozen,
/// logloss, throughput, rows, bytes), no script, no network, light and dark, readable on a phone
/// and by a screen reader.
std::string report_html(const run_result& result, const std::vector<series_point>& points);

/// Writes it, complete or not at all. Fails: io_error, disk_full.
result<void> write_report(const std::filesystem::path& file,
                          const run_result& result,
                          const std::vector<series_point>& points);

}  // namespace headrace::cli
