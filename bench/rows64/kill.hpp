#pragma once

#include "base/result.hpp"
#include "bench/rows64/ledger.hpp"
#include "bench/rows64/options.hpp"
#include "bench/rows64/peer_client.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace headrace::bench {

/// What a kill in the middle of pushes cost.
struct survival {
  std::uint64_t acknowledged = 0;   // pushes answered before the kill, prefill included
  std::uint64_t in_flight = 0;      // sent and not answered when it came: sent again behind it
  std::uint64_t lost = 0;           // acknowledged pushes that were gone
  std::uint64_t applied_twice = 0;  // pushes beyond those sent
  double restart_ms = 0;            // from the kill until every shard answers from its log
};

/// Pushes on, kills the server with `options.depth` pushes unanswered, starts it again over the
/// same folder, sends those again, and waits for all. Afterwards every push of `done` was applied
/// once, or the rows tell: the caller compares them.
///
/// `restart` kills the server and starts another; it gives the endpoint. Fails: corrupt when
/// anything was lost or applied twice; as `restart` and the client do.
result<survival> kill_in_flight(product_peer& client,
                                std::span<const row_batch> pool,
                                const rows64_options& options,
                                ledger& done,
                                const std::function<result<std::string>()>& restart);

}  // namespace headrace::bench
