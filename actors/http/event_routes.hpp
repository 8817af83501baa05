#pragma once

#include "actors/http/http_server.hpp"
#include "base/clock.hpp"
#include "base/inflate.hpp"
#include "base/result.hpp"
#include "worker/events/event_intake.hpp"
#include "worker/events/event_json.hpp"

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

namespace headrace::actors {

/// Events over HTTP: POST /v1/events with JSON, one JSON object a line, or an EventBatch frame,
/// plain or packed (docs/http.md). The answer goes out when the batch is in the log.
///
///     event_routes events({[&](auto batch) { intake.put(std::move(batch)); }, [&] { intake.wake();
///     }},
///                         check, time, {});
///     auto server = http_server::open(endpoints, events.routes());
///
/// A small plain body is read on the server's thread, which costs less than handing it over. A
/// larger or packed one goes to a thread of its own, and whatever comes while that one works goes
/// behind it: batches are offered in the order in which their requests came. What waits there is
/// bounded by `waiting_bytes_max`; beyond it 429. Outlives its server; the intake outlives what it
/// was offered.
class event_routes {
 public:
  /// Where batches go.
  struct way_in {
    std::function<void(worker::event_intake::request)> put;  // event_intake::put
    std::function<void()> wake;  // event_intake::wake: behind those whose requests came together
  };
  /// Who wants to push: the producer by its own word (empty when no field of the request names it),
  /// the token, the bytes of the body where the header names its length.
  struct claim {
    std::string_view producer;
    std::string_view token;
    std::size_t bytes = 0;
  };
  /// Whether a claim is let in; asked on the server's thread at the end of the header, before
  /// anything of the body is read. A failure becomes the answer.
  using admit = std::function<result<void>(const claim&)>;
  struct settings {
    std::size_t body_bytes_max = std::size_t{16} << 20;      // as sent
    std::size_t unpacked_bytes_max = std::size_t{64} << 20;  // and unpacked
    std::size_t event_bytes_max = 65'536;
    std::size_t inline_bytes_max =
        std::size_t{16} * 1024;  // read on the server's thread: some 20 µs
    std::size_t waiting_bytes_max = std::size_t{64} << 20;  // of larger bodies that wait
    std::uint32_t retry_after_ms = 100;                     // with a transient failure of `admit`
  };
  event_routes(way_in to, admit who, const clock& time, settings how);
  /// What waits is answered 503.
  ~event_routes();
  event_routes(const event_routes&) = delete;
  event_routes& operator=(const event_routes&) = delete;

  std::vector<http_route> routes();

  struct counters {
    std::uint64_t offered = 0;      // batches
    std::uint64_t refused = 0;      // requests: token, form, size, nothing in them that can be read
    std::uint64_t unread = 0;       // events that are no events
    std::uint64_t handed_over = 0;  // requests read on the thread for large ones
  };
  counters count() const;

 private:
  enum class form { json, frame };
  static std::optional<form> form_of(std::string_view type);
  struct push {
    http_request request;
    http_reply reply;
    form as = form::json;
    content_encoding packed = content_encoding::identity;
  };
  /// What one thread reads with.
  struct reader {
    worker::event_json_reader json;
    schemas::event_batch_builder builder;
  };

  std::optional<http_answer> turn_away(const http_request& head, std::uint64_t body_bytes);
  void handle(http_request request, http_reply reply);
  void take(push next, reader& with);
  void take_behind(push next);
  void take_json(std::string_view text, push& next, reader& with);
  void take_frame(std::string bytes, push& next);
  void refuse(const http_reply& reply, const error& failure);
  void run();

  const way_in to_;
  const admit admit_;
  const clock& time_;
  const settings how_;
  reader inline_;  // the server's thread's
  reader behind_;  // thread_'s

  std::atomic<std::uint64_t> offered_{0};  // counts guard no other memory
  std::atomic<std::uint64_t> refused_{0};
  std::atomic<std::uint64_t> unread_{0};
  std::atomic<std::uint64_t> handed_over_{0};

  std::mutex lock_;  // guards what follows
  std::condition_variable changed_;
  std::deque<push> waiting_;
  std::size_t waiting_bytes_ = 0;  // bodies in `waiting_`, which outlive their connections
  std::size_t behind_count_ = 0;   // waiting or being read
  bool stopping_ = false;
  std::jthread thread_;
};

}  // namespace headrace::actors
