#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "cli/job_file.hpp"
#include "worker/events/event_intake.hpp"
#include "worker/ingest/feed_reader.hpp"

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

namespace headrace::cli {

/// Fetches a job's events from its broker, on a thread of its own.
class feed_front {
 public:
  /// Begins behind what `intake` knows of each partition; the intake outlives this. `failed` is
  /// called once, on the thread, when nothing more can be fetched. Fails: bad_config.
  static result<std::unique_ptr<feed_front>> open(const job& job,
                                                  worker::event_intake& intake,
                                                  const clock& time,
                                                  std::function<void(error)> failed);
  ~feed_front();

  /// The broker's side as one JSON object: whether it is there, what lags, dead letters.
  std::string status() const;
  /// What is in flight is waited for, up to two seconds. Idempotent.
  void stop();

 private:
  feed_front() = default;
  result<void> run(const clock& time);

  std::unique_ptr<worker::feed_reader> reader_;  // the thread's
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;  // guards what follows: copies for `status`
  worker::broker_feed::state seen_;
  worker::feed_reader::counters counted_;
  std::thread thread_;
};

}  // namespace headrace::cli
