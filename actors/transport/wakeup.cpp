#include "actors/transport/wakeup.hpp"

#include "base/check.hpp"

#include <cstdint>
#include <sys/eventfd.h>
#include <unistd.h>

namespace headrace::actors {

wakeup::wakeup() : fd_(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) { CHECK(fd_ >= 0); }
wakeup::~wakeup() { ::close(fd_); }

void wakeup::signal() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const auto written = ::write(fd_, &one, sizeof one);
}

void wakeup::clear() {
  std::uint64_t count = 0;
  [[maybe_unused]] const auto got = ::read(fd_, &count, sizeof count);
}

}  // namespace headrace::actors
