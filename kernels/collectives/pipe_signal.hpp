#pragma once

#include <ctime>
#include <pthread.h>
#include <signal.h>

namespace headrace::kernels {

/// While it lives a write of this thread to a peer that is gone fails, as it should, instead of
/// ending the process by SIGPIPE. Threads started meanwhile never get that signal. gloo's writes
/// don't ask for MSG_NOSIGNAL, and the process's handlers are not a library's to change.
class no_pipe_signal {
 public:
  no_pipe_signal() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~no_pipe_signal() {
    if (sigismember(&before_, SIGPIPE) == 1) return;
    const timespec at_once{};
    while (sigtimedwait(&pipe_, nullptr, &at_once) == SIGPIPE) {
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  no_pipe_signal(const no_pipe_signal&) = delete;
  no_pipe_signal& operator=(const no_pipe_signal&) = delete;

 private:
  sigset_t pipe_;
  sigset_t before_;
};

}  // namespace headrace::kernels
