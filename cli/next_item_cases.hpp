#pragma once

#include "base/result.hpp"
#include "cli/job/job_file.hpp"
#include "worker/step/next_item_ranking.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>

namespace headrace::cli {

/// Which cases of a source are ranked.
struct next_item_order {
  std::size_t held_out = 1;  // id of each list, counted from its end
  std::size_t cases_max = std::numeric_limits<std::size_t>::max();
  std::uint64_t from = 0;  // records of the source
  std::uint64_t to = UINT64_MAX;
};

/// Reads `source`, whose lists may be held out of learning, with its lists whole, for the ranking
/// of what comes next. Of a list of more than 1,024 ids the newest count. Requires that the job's
/// model predicts the next id of a list. Fails: as the source.
result<worker::next_item_ranking> read_cases(const job& described,
                                             const worker::source_spec& source,
                                             const next_item_order& order);

}  // namespace headrace::cli
