#pragma once

#include "actors/reply_path.hpp"
#include "actors/transport/context.hpp"
#include "base/result.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace headrace::actors {

/// What may be in flight at one router: sections that wait at shards, and answers until ZeroMQ has
/// sent them.
struct router_options {
  std::size_t peer_bytes_max = std::size_t{64} << 20;  // of one peer; then it is told `overloaded`
  std::uint32_t peer_requests_max = 256;
  std::uint32_t retry_after_ms = 50;               // the hint it is given
  std::size_t bytes_max = std::size_t{512} << 20;  // of all peers; then requests are dropped
};

class peer_credit;

/// The server's side of the wire: one ROUTER socket on one plain thread, which decodes envelopes
/// only, hands whole sections to `handle`, and sends the answers that come back through `reply`.
///
/// Peers are served in turn, a message each (ZeroMQ's ROUTER does that), and each has credit: what
/// it sends beyond `peer_bytes_max` or `peer_requests_max` in flight is answered `overloaded` by
/// its envelope alone. What all peers together send beyond `bytes_max` is dropped and counted.
/// `handle` runs on the router's thread and must only hand over. Malformed messages are refused and
/// counted; nothing a peer sends can stop the thread. Answers keep no order.
class router final : public reply_path, public std::enable_shared_from_this<router> {
 public:
  using handler = std::function<void(section_job)>;

  /// Binds every endpoint (a tcp port of 0 is chosen by the system; the socket file of a dead
  /// server is replaced) and starts the thread. Fails: bad_config for an endpoint beyond loopback,
  /// in_use when a port or a socket file is taken.
  static result<std::shared_ptr<router>> open(transport_context& context,
                                              const std::vector<std::string>& endpoints,
                                              handler handle,
                                              const router_options& how = {});
  ~router() override;

  /// Endpoints as bound, in the order given.
  const std::vector<std::string>& endpoints() const { return endpoints_; }

  void reply(const reply_ticket& to,
             schemas::message_kind kind,
             shard_id from,
             frame section) override;

  /// Stops the thread after what is in the outbox was sent, and removes socket files. Idempotent.
  void stop();

  struct counters {
    std::uint64_t messages = 0;       // requests taken
    std::uint64_t malformed = 0;      // refused: not decodable, or sections and frames differ
    std::uint64_t undeliverable = 0;  // answers to peers that are gone or do not read
    std::uint64_t overloaded = 0;     // sections dropped: all peers together hold too much
    std::uint64_t refused = 0;        // sections answered `overloaded`: their peer holds too much
  };
  counters count() const;

 private:
  struct state;
  router();
  result<void> bind(const std::string& endpoint);
  void run();
  void take_request();
  void refuse(const peer_credit& peer, const schemas::envelope& head);
  void send_answers();

  std::unique_ptr<state> state_;
  std::vector<std::string> endpoints_;
};

}  // namespace headrace::actors
