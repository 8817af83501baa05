#pragma once

#include "actors/reply_path.hpp"
#include "actors/transport/context.hpp"
#include "base/result.hpp"

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace headrace::actors {

/// The server's side of the wire: one ROUTER socket on one plain thread, which decodes envelopes
/// only, hands whole sections to `handle`, and sends the answers that come back through `reply`.
///
/// Sections that wait at shards and answers that wait here hold at most 512 MiB together; more is
/// dropped and counted. `handle` runs on the router's thread and must only hand over. Malformed
/// messages are refused and counted; nothing a peer sends can stop the thread. Answers keep no
/// order.
class router final : public reply_path, public std::enable_shared_from_this<router> {
 public:
  using handler = std::function<void(section_job)>;

  /// Binds every endpoint (a tcp port of 0 is chosen by the system) and starts the thread.
  /// Fails: bad_config for an endpoint beyond loopback, in_use when a port is taken.
  static result<std::shared_ptr<router>> open(transport_context& context,
                                              const std::vector<std::string>& endpoints,
                                              handler handle);
  ~router() override;

  /// Endpoints as bound, in the order given.
  const std::vector<std::string>& endpoints() const { return endpoints_; }

  void reply(const reply_ticket& to,
             schemas::message_kind kind,
             shard_id from,
             frame section) override;

  /// Stops the thread after what is in the outbox was sent. Idempotent.
  void stop();

  struct counters {
    std::uint64_t messages = 0;       // requests taken
    std::uint64_t malformed = 0;      // refused: not decodable, or sections and frames differ
    std::uint64_t undeliverable = 0;  // answers to peers that are gone or do not read
    std::uint64_t overloaded = 0;     // sections dropped because too many bytes waited already
  };
  counters count() const;

 private:
  struct state;
  router();
  void run();
  void take_request();
  void send_answers();

  std::unique_ptr<state> state_;
  std::vector<std::string> endpoints_;
};

}  // namespace headrace::actors
