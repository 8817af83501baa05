#include "cli/signals.hpp"

#include <csignal>
#include <ctime>
#include <unistd.h>

namespace headrace::cli {
namespace {

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
}

bool stop_signals::wait(std::chrono::milliseconds patience) {
  const sigset_t set = stop_set();
  const timespec limit{patience.count() / 1000, (patience.count() % 1000) * 1'000'000};
  if (sigtimedwait(&set, nullptr, &limit) > 0) {
    if (asked_) ::_exit(130);
    asked_ = true;
  }
  return asked_;
}

}  // namespace headrace::cli
