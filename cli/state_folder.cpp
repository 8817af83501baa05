#include "cli/state_folder.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <vector>

namespace headrace::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t demos_kept = 3;  // the new one included

void remove_old_demos(const fs::path& home) {
  std::vector<fs::path> demos;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(home, failure)) {
    const bool ours =
        entry.path().filename().string().starts_with("demo-") && fs::exists(entry.path() / "JOB");
    if (ours) demos.push_back(entry.path());
  }
  std::sort(demos.rbegin(), demos.rend());  // names sort by time
  for (std::size_t i = demos_kept - 1; i < demos.size(); ++i) fs::remove_all(demos[i], failure);
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
  for (int i = 2; fs::exists(free); ++i) free = wanted.string() + "-" + std::to_string(i);
  return free;
}

}  // namespace headrace::cli
