#pragma once

#include "kernels/moe_router/moe_router.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

/// The scalar parts of a router, the same for every version: nothing here grows with T E.
namespace headrace::kernels {

/// f_e: the share of all assignments that went to expert e, before capacity.
template <class Args>
double load_share(const Args& args, std::size_t e) {
  return static_cast<double>(args.loads[e]) / static_cast<double>(args.chosen.size());
}

/// The report, from all other outputs.
template <class Value>
router_report report_of(const basic_moe_router_args<Value>& args) {
  router_report made;
  if (args.lse.empty()) return made;
  const auto experts = static_cast<double>(args.experts);
  const std::size_t even = (args.chosen.size() + args.experts - 1) / args.experts;
  const std::size_t capacity = args.capacity == 0 ? even : args.capacity;
  std::size_t used = 0;
  for (std::size_t e = 0; e < args.experts; ++e) {
    const double p = static_cast<double>(args.mean_probabilities[e]);
    made.balance_loss += args.losses.balance * experts * load_share(args, e) * p;
    if (p > 0.0) made.entropy_loss += args.losses.entropy * p * std::log(p);
    used += std::min<std::size_t>(args.loads[e], capacity);
    if (args.capacity != 0 && args.loads[e] > capacity) made.dropped += args.loads[e] - capacity;
  }
  for (const Value lse : args.lse) {
    made.z_loss += static_cast<double>(lse) * static_cast<double>(lse);
  }
  made.z_loss *= args.losses.z / static_cast<double>(args.lse.size());
  made.utilisation = static_cast<double>(used) / (experts * static_cast<double>(capacity));
  return made;
}

/// a_e: what a unit of p_te adds to the auxiliary losses. Tokens >= 1.
template <class Value>
double probability_cost(const basic_moe_router_backward_args<Value>& args, std::size_t e) {
  const Value p = std::max(args.mean_probabilities[e], std::numeric_limits<Value>::min());
  const double balance =
      args.losses.balance * static_cast<double>(args.experts) * load_share(args, e);
  const double entropy = args.losses.entropy * (std::log(static_cast<double>(p)) + 1.0);
  return (balance + entropy) / static_cast<double>(args.lse.size());
}

}  // namespace headrace::kernels
