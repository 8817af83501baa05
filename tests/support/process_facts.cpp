#include "tests/support/process_facts.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <system_error>
#include <thread>
#include <unistd.h>

namespace headrace::tests {
namespace {

namespace fs = std::filesystem;

constexpr std::chrono::milliseconds poll_interval{5};

}  // namespace

process_facts facts_of(pid_t process) {
  process_facts facts;
  const fs::path about = fs::path("/proc") / std::to_string(process);
  std::ifstream status(about / "status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) facts.resident_bytes = 1024 * std::stoull(line.substr(6));
    if (line.starts_with("Threads:")) facts.threads = std::stoull(line.substr(8));
  }
  std::error_code gone;
  for (fs::directory_iterator at(about / "fd", gone), end; !gone && at != end; at.increment(gone))
    ++facts.descriptors;
  return facts;
}

folder_facts facts_of(const std::string& folder) {
  folder_facts facts;
  std::error_code gone;  // files come and go while we look
  for (fs::recursive_directory_iterator at(folder, gone), end; !gone && at != end;
       at.increment(gone)) {
    std::error_code absent;
    if (!at->is_regular_file(absent) || absent) continue;
    const auto bytes = at->file_size(absent);
    if (absent) continue;
    ++facts.files;
    facts.bytes += bytes;
  }
  return facts;
}

bool eventually(const std::function<bool()>& holds, std::chrono::milliseconds deadline) {
  const auto give_up = std::chrono::steady_clock::now() + deadline;
  while (!holds()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    std::this_thread::sleep_for(poll_interval);
  }
  return true;
}

}  // namespace headrace::tests
