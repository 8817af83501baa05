#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace headrace::cli {

/// Takes SIGINT and SIGTERM away from their default: made in main before any other thread exists,
/// so that every thread inherits the mask. The first signal asks for an orderly end; the second
/// ends the process with 130 at once, whatever it is doing.
class stop_signals {
 public:
  stop_signals();
  ~stop_signals();
  stop_signals(const stop_signals&) = delete;
  stop_signals& operator=(const stop_signals&) = delete;

  /// Waits at most `patience`; true once a signal has come.
  bool wait(std::chrono::milliseconds patience);

 private:
  void listen(const std::stop_token& ending);

  std::mutex mutex_;  // guards asked_
  std::condition_variable came_;
  bool asked_ = false;
  std::jthread thread_;
};

}  // namespace headrace::cli
