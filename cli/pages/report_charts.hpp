#pragma once

#include "cli/pages/svg_chart.hpp"
#include "cli/run_result.hpp"
#include "cli/run_series.hpp"

#include <optional>
#include <vector>

/// What the report draws: the points of a run as lines of charts.
namespace headrace::cli {

/// The points whose time never goes back: a damaged series file must not fold a chart.
std::vector<series_point> in_order(const std::vector<series_point>& points);

/// Seconds at which the scored samples passed the freeze, between two points; none without a twin,
/// or where the points do not say. `points` are in order.
std::optional<double> freeze_moment(const run_result& result,
                                    const std::vector<series_point>& points);

/// AUC online over the last 10,000 and, with a twin, both since the freeze with the gap between
/// them shaded; without one, online since the start.
chart auc_chart(const std::vector<series_point>& points, bool twin);

/// Logloss, throughput, rows, pushed bytes, memory, staleness.
std::vector<chart> small_charts(const std::vector<series_point>& points);

}  // namespace headrace::cli
