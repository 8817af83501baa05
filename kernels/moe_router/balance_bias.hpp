#pragma once

#include "base/check.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Moves the selection bias of each expert by `step` against its load: down where it had more than
/// the even share, up where less, not at all where just that (Wang et al., arXiv 2408.15664,
/// algorithm 1).
///
/// bias [experts]; loads [experts] as moe_router left them, before capacity, or their sums over
/// several batches. The bias remembers what it was told: call it once a step, in the order of
/// steps.
template <class Value>
void update_balance_bias(std::span<Value> bias, std::span<const std::uint32_t> loads, Value step) {
  CHECK(loads.size() == bias.size());
  std::uint64_t total = 0;
  for (const std::uint32_t load : loads) total += load;
  for (std::size_t e = 0; e < bias.size(); ++e) {
    const std::uint64_t share = std::uint64_t{loads[e]} * loads.size();
    if (share > total) bias[e] -= step;
    if (share < total) bias[e] += step;
  }
}

}  // namespace headrace::kernels
