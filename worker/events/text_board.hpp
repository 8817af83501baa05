#pragma once

#include "worker/events/figure_board.hpp"
#include "worker/text/text_filter.hpp"

#include <cstdint>

namespace headrace::worker {

/// Which events a job's texts let through, over all runs of the state folder.
struct texts_figures {
  text_filter::counters count;
  std::uint64_t known = 0;  // texts, to tell near ones by
};
using text_board = figure_board<texts_figures>;

}  // namespace headrace::worker
