#pragma once

#include "worker/events/figure_board.hpp"
#include "worker/ingest/window_features.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace headrace::worker {

/// Columns of impressions that are kept for their actions, for all windows together.
struct impression_figures {
  std::uint64_t kept = 0;
  std::uint64_t bytes = 0;
  std::uint64_t forgotten = 0;  // for want of room, while an action could ask for them
};

/// What the windows of a job hold and have counted.
struct windows_figures {
  std::vector<window_figures> each;                    // in the order of the job file
  std::optional<impression_figures> impressions = {};  // where actions take columns from them
};

using window_board = figure_board<windows_figures>;

}  // namespace headrace::worker
