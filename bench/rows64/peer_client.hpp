#pragma once

#include "actors/transport/context.hpp"
#include "base/result.hpp"
#include "bench/rows64/options.hpp"
#include "bench/rows64/workload.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace headrace::bench {

/// What a client found on a server that took the place of a killed one.
struct found_again {
  std::uint64_t acknowledged = 0;  // pushes answered before the kill
  std::uint64_t in_flight = 0;     // and not answered: sent again
  std::uint64_t lost = 0;          // acknowledged, and beyond the watermark it came back with
};

/// The load generator's connection to one server. One thread.
class peer_client {
 public:
  virtual ~peer_client() = default;
  /// Both return the request's number.
  virtual std::uint64_t send_push(const row_batch& batch, schemas::value_codec codec) = 0;
  virtual std::uint64_t send_pull(const row_batch& batch, schemas::value_codec codec) = 0;
  /// Waits for the next request that is answered completely; returns its number. Fails: timeout
  /// after 20 s, or as the server refused it.
  virtual result<std::uint64_t> wait() = 0;
  /// The rows of the pull that `wait` returned last, in the order of `batch`, as floats.
  virtual void copy_rows(const row_batch& batch, std::span<float> rows) const = 0;
};

/// A client of ours, which can go on with another server over the same log, as workers do.
class product_peer : public peer_client {
 public:
  /// Connects to the server at `endpoint`, asks for its watermarks, and sends every push that was
  /// not answered again, the same bytes under the same numbers; `wait` then takes a duplicate for
  /// an answer. Fails: timeout when nobody answers in 120 s, or as the server refused it.
  virtual result<found_again> reconnect(const std::string& endpoint) = 0;
  /// Pushes applied by the server beyond those ever sent, as its newest acknowledgement tells: each
  /// was applied twice.
  virtual std::uint64_t applied_twice() const = 0;
};

/// Speaks the product's wire over one DEALER: an envelope, one section for each shard. `pool` is
/// split and encoded beforehand; building each section is part of what is timed.
std::unique_ptr<product_peer> connect_product(actors::transport_context& context,
                                              const std::string& endpoint,
                                              std::span<const row_batch> pool,
                                              const rows64_options& options,
                                              const std::string& source = "rows64");

/// Speaks to the plain server: keys and values as frames without copies, answers on a ROUTER of its
/// own, pulled values copied once more into the caller's buffer, as ps-lite's worker does.
std::unique_ptr<peer_client> connect_plain(actors::transport_context& context,
                                           const std::string& endpoint);

}  // namespace headrace::bench
