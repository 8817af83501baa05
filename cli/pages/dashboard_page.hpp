#pragma once

#include "cli/pages/dashboard_view.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace headrace::cli {

/// The whole page, with the parts of dashboard_view.hpp in their places.
std::string dashboard_page(const dashboard_view& now,
                           const flow_counts& before,
                           const std::vector<series_point>& points);
/// What keeps it up to date, as a script of its own.
extern const std::string_view dashboard_script;

}  // namespace headrace::cli
