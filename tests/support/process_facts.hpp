#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <sys/types.h>

namespace headrace::tests {

/// What the kernel says of a running process; all 0 when it is gone.
struct process_facts {
  std::uint64_t resident_bytes = 0;
  std::uint64_t threads = 0;
  std::uint64_t descriptors = 0;
};
process_facts facts_of(pid_t process);

/// Regular files below `folder`, and their bytes.
struct folder_facts {
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
};
folder_facts facts_of(const std::string& folder);

/// Asks `holds` every few milliseconds until it is true; false at the deadline.
bool eventually(const std::function<bool()>& holds, std::chrono::milliseconds deadline);

}  // namespace headrace::tests
