#pragma once

#include "actors/request_path.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "worker/batch/batch_stream.hpp"
#include "worker/batch/sample_fetch.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace headrace::actors {

/// A batch_stream whose sealed batches another process has (`headrace ingest`): the shell around a
/// sample_fetch. Where nobody answers it waits, with one line in the log, and goes on by itself.
/// Single-threaded as batch_stream says, beside the path's thread.
class fetched_stream final : public worker::batch_stream {
 public:
  using connector =
      std::function<result<std::unique_ptr<request_path>>(request_path::receiver receive)>;
  struct parts {
    worker::sample_fetch::settings how;
    batch_number first{1};  // to be given out
    std::string endpoint;   // for the log and for people
    std::string sender;     // for the other side's log
    connector connect;
    /// Through which batch rows on the servers' disks hold what was learned; told with each
    /// request. Set on any thread, relaxed: it guards nothing.
    std::shared_ptr<const std::atomic<std::uint64_t>> covered;
  };
  /// Fails: as `connect`.
  static result<std::unique_ptr<fetched_stream>> open(parts from, const clock& time);
  ~fetched_stream() override;

  /// Waits for the first answer. Fails: unavailable (none came), and as sample_fetch::take.
  result<void> greet(std::chrono::milliseconds patience);
  /// Waits for the next batch, at most so long; null when there is none behind it. Fails: as
  /// `greet`, `next`.
  result<worker::sample_batch_ptr> wait_for_next(std::chrono::milliseconds patience);
  // Once greeted.
  std::uint64_t stream() const { return fetch_.stream(); }
  std::uint64_t records() const { return fetch_.records(); }

  result<pumped> next() override;
  bool finished() const override { return fetch_.finished(); }
  void learned(std::uint32_t batches) override { fetch_.learned(batches); }
  void finish_early() override { fetch_.finish_early(); }
  void on_more(const std::function<void()>& wake) override;
  result<void> close() override;
  bool live() const override { return fetch_.live(); }
  refused_rows refused() const override { return fetch_.refused(); }

 private:
  struct inbox;
  fetched_stream(parts from, const clock& time);
  result<void> exchange();
  void tell_trouble();

  parts parts_;
  const clock& time_;
  worker::sample_fetch fetch_;
  std::shared_ptr<inbox> inbox_;  // the path's receiver holds it too
  std::unique_ptr<request_path> path_;
  bool troubled_ = false;
};

}  // namespace headrace::actors
