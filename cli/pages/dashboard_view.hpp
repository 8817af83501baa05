#pragma once

#include "actors/progress_board.hpp"
#include "cli/run_series.hpp"
#include "cli/telemetry/live_series.hpp"
#include "cli/telemetry/serve_series.hpp"
#include "schemas/control.hpp"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace headrace::cli {

/// A running job at one moment, as the dashboard shows it.
struct dashboard_view {
  std::string job;
  std::string data;     // where the events come from
  double seconds = 0;   // since this process began to learn
  std::string stopped;  // why nothing more will come; empty while the job goes on
  actors::progress learned;
  std::vector<schemas::status_reply> shards;  // none: the server did not answer
  std::optional<live_figures> live;           // of a job whose events come live
  std::optional<serve_figures> served;        // where predictions are answered
};

/// A part of the page that changes: the id of its element, and what is in it.
struct page_part {
  const char* id;
  std::string html;
};

/// What passes through the stages of the job, as counts that only grow: two of them give rates.
struct flow_counts {
  double seconds = 0;
  std::uint64_t accepted = 0;
  std::uint64_t joined = 0;
  std::uint64_t samples = 0;
  std::uint64_t push_bytes = 0;
  std::uint64_t versions = 0;  // of all shards
  std::uint64_t answered = 0;
};
flow_counts count_flow(const dashboard_view& now);

/// Figures that change every second. `before` is of a while ago.
std::vector<page_part> figures_now(const dashboard_view& now, const flow_counts& before);
/// Charts: AUC over all `points`, everything else over the last fifteen minutes.
std::vector<page_part> charts_now(const dashboard_view& now,
                                  const std::vector<series_point>& points);
}  // namespace headrace::cli
