#pragma once

#include "ps/shard/background.hpp"
#include "storage/io_pool.hpp"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>

namespace headrace::bench {

/// What is to go on on the thread that owns a shard, put there by any thread: the actor's mailbox
/// without the actor.
class gate_inbox {
 public:
  void put(std::function<void()> what) {
    const std::lock_guard lock(mutex_);
    queue_.push_back(std::move(what));
    come_.notify_one();
  }
  /// Runs the oldest one, and waits for it if need be. False: none came for so long.
  bool run_next(std::chrono::milliseconds patience) {
    std::function<void()> next;
    {
      std::unique_lock lock(mutex_);
      if (!come_.wait_for(lock, patience, [this] { return !queue_.empty(); })) return false;
      next = std::move(queue_.front());
      queue_.pop_front();
    }
    next();
    return true;
  }

 private:
  std::mutex mutex_;  // guards `queue_`
  std::condition_variable come_;
  std::deque<std::function<void()>> queue_;
};

/// Works of one shard on the threads of an I/O pool, as the product's server has it; what follows
/// comes to the inbox. Pool and inbox must outlive it; nothing that is left in the inbox may run
/// once the shard is gone.
class gate_background final : public ps::background {
 public:
  gate_background(storage::io_pool& pool, gate_inbox& inbox) : pool_(pool), inbox_(inbox) {}
  ~gate_background() override { gate_background::finish(); }

  void run(std::function<void()> work, std::function<void()> done) override {
    {
      const std::lock_guard lock(mutex_);
      ++running_;
    }
    pool_.run([this, work = std::move(work), done = std::move(done)]() mutable {
      work();
      work = nullptr;
      inbox_.put(std::move(done));
      const std::lock_guard lock(mutex_);
      if (--running_ == 0) none_.notify_all();
    });
  }
  void finish() override {
    std::unique_lock lock(mutex_);
    none_.wait(lock, [this] { return running_ == 0; });
  }

 private:
  storage::io_pool& pool_;
  gate_inbox& inbox_;
  std::mutex mutex_;  // guards `running_`
  std::condition_variable none_;
  std::size_t running_ = 0;
};

}  // namespace headrace::bench
