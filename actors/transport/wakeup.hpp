#pragma once

namespace headrace::actors {

/// An eventfd: lets any thread wake one that sleeps in poll.
class wakeup {
 public:
  wakeup();
  ~wakeup();
  wakeup(const wakeup&) = delete;
  wakeup& operator=(const wakeup&) = delete;

  int fd() const { return fd_; }
  void signal();
  void clear();

 private:
  int fd_ = -1;
};

}  // namespace headrace::actors
