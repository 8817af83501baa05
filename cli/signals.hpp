#pragma once

#include <chrono>

namespace headrace::cli {

/// Takes SIGINT and SIGTERM away from their default: made in main before any thread exists, so that every
/// thread inherits the mask. The first signal asks for an orderly end, the second ends the process with 130.
class stop_signals {
 public:
  stop_signals();
  /// Waits at most `patience`; true once a signal has come.
  bool wait(std::chrono::milliseconds patience);
  bool asked() const { return asked_; }

 private:
  bool asked_ = false;
};

}  // namespace headrace::cli
