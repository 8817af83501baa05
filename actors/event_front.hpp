#pragma once

#include "actors/reply_path.hpp"
#include "base/result.hpp"
#include "schemas/event.hpp"
#include "worker/events/event_intake.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string_view>

namespace headrace::actors {

/// Events over ZeroMQ: each section of a `message_kind::events` request is an EventPush, answered
/// with an EventAck once its batch is in the log.
///
///     event_front front([&](auto batch) { intake.offer(std::move(batch)); }, check_token);
///     auto served = router::open(transport, endpoints, front.handler());
///
/// The batch is read where the frame lies and never copied. The request's room in its peer's credit
/// (router_options) is let go of with the answer, so a producer that pushes faster than the log
/// takes it is told `overloaded` by the router, before anything of it is decoded. Wrong tokens are
/// refused before the batch is looked at.
///
/// `handle` runs on the router's thread; `count` may be asked on any. It outlives its router, and
/// the intake outlives what it was offered.
class event_front {
 public:
  /// What is done with a batch: event_intake::offer.
  using offer = std::function<void(worker::event_intake::request)>;
  /// Whether the holder of a token may push at all; a failure becomes the answer's status and
  /// detail. Whose token it is the intake asks, which is given it.
  using admit = std::function<result<void>(std::string_view token)>;
  struct settings {
    std::size_t batch_bytes_max = std::size_t{16} << 20;
    std::uint32_t retry_after_ms = 100;  // with a transient failure of `admit`
  };
  event_front(offer to, admit who, settings how);
  event_front(offer to, admit who) : event_front(std::move(to), std::move(who), settings{}) {}

  void handle(section_job job);
  /// For router::open.
  std::function<void(section_job)> handler() {
    return [this](section_job job) { handle(std::move(job)); };
  }

  struct counters {
    std::uint64_t pushes = 0;     // offered
    std::uint64_t malformed = 0;  // no EventPush
    std::uint64_t refused = 0;    // by token, rate or size
    std::uint64_t strangers = 0;  // of another kind; not answered
  };
  counters count() const;

 private:
  void take(section_job job);

  offer offer_;
  admit admit_;
  settings how_;
  // Counts that guard no other memory: relaxed.
  std::atomic<std::uint64_t> pushes_{0};
  std::atomic<std::uint64_t> malformed_{0};
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<std::uint64_t> strangers_{0};
};

}  // namespace headrace::actors
