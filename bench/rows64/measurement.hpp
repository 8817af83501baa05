#pragma once

#include "base/result.hpp"
#include "bench/rows64/kill.hpp"
#include "bench/rows64/load.hpp"
#include "bench/rows64/options.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace headrace::bench {

/// All points of one run, a value for each round.
struct rows64_points {
  std::vector<measured> headrace;
  std::vector<measured> empty;
  std::vector<measured> plain;
  std::uint64_t verified_rows = 0;  // of ours, over all rounds; one wrong row fails the run instead
  std::vector<survival> kills;      // with --kill, one for each round
  std::string weight;               // what came of raising the scheduler weight
};

/// Runs `options.rounds` rounds; in each, every peer is started new, filled, loaded, checked and
/// stopped, in an order that moves on by one each round. With `options.kill` ours is killed behind
/// its load and checked after it came back. Log files are in `options.dir`; those of
/// the last round stay there.
result<rows64_points> measure_rows64(const rows64_options& options);

}  // namespace headrace::bench
