#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace headrace::storage {

/// Threads that wait for the disk so that others need not. One for each server: shards give it
/// write-back and misses, the row store the pieces of large reads.
///
/// Tasks begin in the order they were given; one that waits for another of the same pool can
/// wait for ever. An exception that leaves a task ends the process.
class io_pool {
 public:
  /// Starts `threads` threads, named io-0, io-1 …; at least one.
  explicit io_pool(unsigned threads);
  /// Finishes what was given, then ends the threads. Tasks may still give tasks meanwhile.
  ~io_pool();
  io_pool(const io_pool&) = delete;
  io_pool& operator=(const io_pool&) = delete;

  /// Any thread, tasks included. Never waits for a task.
  void run(std::function<void()> task);
  /// Calls `piece(0)` … `piece(count - 1)`, each once, on this thread and on whichever of the pool
  /// come by; returns when all are done. May be called from a task: it waits only for pieces that
  /// others have begun.
  void share(std::size_t count, const std::function<void(std::size_t)>& piece);
  unsigned threads() const { return static_cast<unsigned>(threads_.size()); }

 private:
  void work();

  std::mutex mutex_;  // guards the three below
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  unsigned running_ = 0;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace headrace::storage
