#include "cli/signals.hpp"

#include <csignal>
#include <ctime>
#include <unistd.h>

namespace headrace::cli {
namespace {

constexpr int interrupted = 130;
constexpr timespec look_for_the_end{0, 100'000'000};

sigset_t stop_set() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

}  // namespace

stop_signals::stop_signals() {
  const sigset_t set = stop_set();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  // A write beyond a file size limit, or to a pipe that is gone, is an error to handle, not the
  // end.
  std::signal(SIGXFSZ, SIG_IGN);
  std::signal(SIGPIPE, SIG_IGN);
  thread_ = std::jthread([this](const std::stop_token& ending) { listen(ending); });
}

stop_signals::~stop_signals() = default;

void stop_signals::listen(const std::stop_token& ending) {
  const sigset_t set = stop_set();
  while (!ending.stop_requested()) {
    if (sigtimedwait(&set, nullptr, &look_for_the_end) <= 0) continue;
    const std::lock_guard lock(mutex_);
    if (asked_) ::_exit(interrupted);
    asked_ = true;
    came_.notify_all();
  }
}

bool stop_signals::wait(std::chrono::milliseconds patience) {
  std::unique_lock lock(mutex_);
  return came_.wait_for(lock, patience, [this] { return asked_; });
}

}  // namespace headrace::cli
