#pragma once

#include "worker/ingest/feed_reader.hpp"
#include "worker/ingest/test_feeds.hpp"

#include <condition_variable>
#include <mutex>
#include <random>
#include <thread>

namespace headrace::worker {

/// A log in memory that batches go to; any thread.
class shared_log {
 public:
  void take(const event_intake::request& one) {
    const auto batch = schemas::decode_event_batch(one.batch);
    schemas::event_ack ack;
    {
      const std::lock_guard held(guard_);
      ASSERT_TRUE(batch) << describe(batch.error());
      auto& next = log_.next[std::string(batch->partition)];
      EXPECT_GT(batch->offset_end, next);
      next = batch->offset_end;
      for (const auto& event : batch->events) {
        log_.values[std::string(batch->partition)].emplace_back(event.id);
      }
      log_.size += batch->events.size();
      ack.accepted = static_cast<std::uint32_t>(batch->events.size());
      grew_.notify_all();
    }
    one.done(std::move(ack));
  }
  bool wait_for(std::size_t count) {
    std::unique_lock held(guard_);
    return grew_.wait_for(held, std::chrono::seconds(60), [&] { return log_.size >= count; });
  }
  kept_log copy() {
    const std::lock_guard held(guard_);
    return log_;
  }

 private:
  std::mutex guard_;
  std::condition_variable grew_;
  kept_log log_;
};

/// A feed_reader in a thread of its own, whose intake has no room for every fifth batch. Ends, with
/// what is in its hands lost, when the object goes.
class reading {
 public:
  reading(std::unique_ptr<broker_feed> feed, shared_log& log, std::uint64_t seed) : random_(seed) {
    feed_reader::settings how;
    how.messages_at_once = 64;
    how.batches.batch_events_max = 50;
    reader_ = std::make_unique<feed_reader>(
        std::move(feed),
        [this](const broker_message& message, auto&) -> result<const schemas::event_batch*> {
          builder_.begin("");
          builder_.event(message.value, "", 1);
          return &builder_.batch();
        },
        [this, &log](const event_intake::request& one) {
          if (random_() % 5 != 0) return log.take(one);
          schemas::event_ack full;
          full.status = errc::overloaded;
          full.retry_after_ms = 5;
          one.done(std::move(full));
        },
        how,
        time_);
    thread_ = std::thread([this] {
      if (auto done = reader_->run(stop_); !done) ADD_FAILURE() << describe(done.error());
    });
  }
  ~reading() {
    stop_ = true;
    thread_.join();
  }
  reading(const reading&) = delete;
  reading& operator=(const reading&) = delete;

 private:
  system_clock time_;
  std::mt19937_64 random_;
  schemas::event_batch_builder builder_;
  std::unique_ptr<feed_reader> reader_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace headrace::worker
