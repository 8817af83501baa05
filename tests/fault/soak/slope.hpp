#pragma once

#include <cstdint>
#include <vector>

namespace headrace::tests {

/// One look at a process.
struct sighting {
  std::uint64_t life = 0;  // a process started anew has another one
  double seconds = 0;
  double value = 0;
};

/// Growth of a value in units a second: least squares of one slope over all lives, each with a
/// level of its own, so that a restart neither hides growth nor looks like it. 0 with too little to
/// tell.
double slope_within_lives(const std::vector<sighting>& seen);

}  // namespace headrace::tests
