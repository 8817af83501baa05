#include "bench/rows64/own_session.hpp"

#include "bench/rows64/process.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <signal.h>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace headrace::bench {
namespace {

namespace fs = std::filesystem;

constexpr const char* folder_prefix = "headrace-bench-";
constexpr std::chrono::milliseconds look_again{50};
constexpr int interrupted = 130;

/// Removes what runs that were killed outright have left behind.
void remove_leftovers(const fs::path& dir) {
  const std::string prefix = folder_prefix;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(dir, ignored)) {
    const std::string file = entry.path().filename();
    if (!file.starts_with(prefix)) continue;
    const int pid = std::atoi(file.c_str() + prefix.size());
    if (pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH) fs::remove_all(entry.path(), ignored);
  }
}

/// A folder of this run under `dir`, removed with everything in it when the object goes.
class run_folder {
 public:
  static result<fs::path> make(const fs::path& dir, std::uintmax_t bytes) {
    remove_leftovers(dir);
    std::error_code failed;
    const auto space = fs::space(dir, failed);
    if (failed) return error{errc::bad_config, "--dir " + dir.string() + ": " + failed.message()};
    if (space.available < bytes) {
      return error{errc::disk_full,
                   "--dir " + dir.string() + " has " + std::to_string(space.available >> 20) +
                       " MiB free, the run needs " + std::to_string(bytes >> 20) +
                       "; give another folder with --dir"};
    }
    const fs::path folder = dir / (folder_prefix + std::to_string(::getpid()));
    fs::create_directory(folder, failed);
    if (failed)
      return error{errc::io_error, "cannot make " + folder.string() + ": " + failed.message()};
    return folder;
  }
  explicit run_folder(fs::path path) : path_(std::move(path)) {}
  ~run_folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  run_folder(const run_folder&) = delete;
  run_folder& operator=(const run_folder&) = delete;

 private:
  fs::path path_;
};

}  // namespace

int complain(std::string_view name, const error& failure) {
  std::fprintf(stderr,
               "headrace bench %.*s: %s\n",
               static_cast<int>(name.size()),
               name.data(),
               failure.detail.c_str());
  return 1;
}

int run_in_own_session(std::string_view name,
                       const fs::path& dir,
                       std::uintmax_t bytes_free,
                       const std::function<std::vector<std::string>(const fs::path&)>& arguments,
                       const std::function<bool(std::chrono::milliseconds)>& stop) {
  auto folder = run_folder::make(dir, bytes_free);
  if (!folder) return complain(name, folder.error());
  const run_folder removed_at_the_end(*folder);
  auto measuring = child::start(arguments(*folder), {.own_session = true});
  if (!measuring) return complain(name, measuring.error());
  while (true) {
    if (stop(look_again)) {
      measuring->kill();
      return interrupted;
    }
    if (const auto status = measuring->ended()) return *status;
  }
}

}  // namespace headrace::bench
