#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "worker/events/event_intake.hpp"
#include "worker/ingest/broker_feed.hpp"
#include "worker/ingest/feed_reader.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace headrace::actors {

/// Fetches events from a broker, on a thread of its own.
///
///     auto feed = worker::open_feed(spec, next);
///     feed_front front(std::move(*feed), offer_to_intake, time, end_the_run);
///
/// What the feed fails with ends it, exceptions of the broker's library too; never the process.
class feed_front {
 public:
  /// What is done with a batch: event_intake::offer.
  using offer = std::function<void(worker::event_intake::request)>;
  /// Called once, on the thread, when nothing more can be fetched.
  using on_failure = std::function<void(error)>;

  feed_front(std::unique_ptr<worker::broker_feed> feed,
             offer to,
             const clock& time,
             on_failure failed);
  ~feed_front();
  feed_front(const feed_front&) = delete;
  feed_front& operator=(const feed_front&) = delete;

  /// The broker's side as one JSON object: whether it is there, what lags, dead letters. Any
  /// thread.
  std::string status() const;
  struct figures {
    worker::broker_feed::state broker;
    worker::feed_reader::counters read;
  };
  /// The same as values, as of half a second ago. Any thread.
  figures look() const;
  /// What is in flight is waited for, up to two seconds. Idempotent.
  void stop();

 private:
  result<void> run();
  result<void> run_safely();

  const clock& time_;
  worker::feed_reader reader_;  // the thread's
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;  // guards what follows: copies for `status`
  worker::broker_feed::state seen_;
  worker::feed_reader::counters counted_;
  std::thread thread_;
};

}  // namespace headrace::actors
