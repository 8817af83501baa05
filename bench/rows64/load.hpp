#pragma once

#include "base/result.hpp"
#include "bench/rows64/ledger.hpp"
#include "bench/rows64/options.hpp"
#include "bench/rows64/peer_client.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace headrace::bench {

/// One point: rows answered a second within the timed part, and how long a request took.
struct measured {
  double rows_per_second = 0;
  double p50_ms = 0;
  double p99_ms = 0;
  std::vector<double> rate_by_part = {};  // rows a second in each twelfth of the time
};

/// Sends the pool round and round with `depth` requests in flight for 0.3 s and then `seconds`;
/// only what is answered in the second part counts. Every push is written in `done`. Nothing is in
/// flight afterwards.
result<measured> run_load(peer_client& client,
                          std::span<const row_batch> pool,
                          const rows64_options& options,
                          ledger& done);

/// Pushes every batch of `prefill` in fp32, eight in flight.
result<void> run_prefill(peer_client& client, std::span<const row_batch> prefill);

/// Pulls every batch and compares it with the ledger, which must be closed.
result<void> verify(peer_client& client,
                    std::span<const row_batch> batches,
                    schemas::value_codec codec,
                    ledger& done);

}  // namespace headrace::bench
