#include "cli/state_folder.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <vector>

namespace headrace::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t demos_kept = 3;  // the new one included

// True while a process runs on the folder: it holds the flock of storage/job_folder.hpp.
bool in_use(const fs::path& folder) {
  for (const char* name : {"LOCK.server", "LOCK.worker", "LOCK.ingest"}) {
    const int file = ::open((folder / name).c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;
    const bool held = ::flock(file, LOCK_EX | LOCK_NB) != 0;
    ::close(file);
    if (held) return true;
  }
  return false;
}

void remove_old_demos(const fs::path& home) {
  std::vector<fs::path> demos;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(home, failure)) {
    const bool ours =
        entry.path().filename().string().starts_with("demo-") && fs::exists(entry.path() / "JOB");
    if (ours) demos.push_back(entry.path());
  }
  std::sort(demos.rbegin(), demos.rend());  // names sort by time
  for (std::size_t i = demos_kept - 1; i < demos.size(); ++i) {
    if (!in_use(demos[i])) fs::remove_all(demos[i], failure);
  }
}

std::string time_stamp() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%d-%H%M%S", &parts);
  return text;
}

}  // namespace

fs::path state_home() {
  if (const char* given = std::getenv("XDG_STATE_HOME"); given != nullptr && *given != '\0') {
    return fs::path(given) / "headrace";
  }
  const char* home = std::getenv("HOME");
  return fs::path(home != nullptr ? home : "/tmp") / ".local" / "state" / "headrace";
}

fs::path default_state(const std::string& job_name) { return state_home() / job_name; }

result<fs::path> new_demo_state() {
  const fs::path home = state_home();
  std::error_code failure;
  fs::create_directories(home, failure);
  if (failure) {
    return error{errc::io_error,
                 "cannot create '" + home.string() + "': " + failure.message() +
                     "; choose a folder with --state DIR"};
  }
  remove_old_demos(home);
  const fs::path wanted = home / ("demo-" + time_stamp());
  fs::path free = wanted;
  // Created here: of two demos started in one second each gets its own.
  for (int i = 2; !fs::create_directory(free, failure) && !failure; ++i) {
    free = wanted.string() + "-" + std::to_string(i);
  }
  if (failure)
    return error{errc::io_error, "cannot create '" + free.string() + "': " + failure.message()};
  return free;
}

}  // namespace headrace::cli
