#pragma once

#include <cstdint>
#include <sys/resource.h>

namespace headrace::bench {

/// Microseconds of the processor that this process used so far, the kernel's for it included.
inline std::uint64_t processor_us() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto us = [](const timeval& of) {
    return static_cast<std::uint64_t>(of.tv_sec) * 1'000'000 +
           static_cast<std::uint64_t>(of.tv_usec);
  };
  return us(used.ru_utime) + us(used.ru_stime);
}

}  // namespace headrace::bench
