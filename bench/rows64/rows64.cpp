#include "bench/rows64/rows64.hpp"

#include "actors/transport/context.hpp"
#include "bench/rows64/arguments.hpp"
#include "bench/rows64/measurement.hpp"
#include "bench/rows64/process.hpp"
#include "bench/rows64/report.hpp"
#include "bench/rows64/server.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <signal.h>
#include <string>
#include <system_error>
#include <unistd.h>

namespace headrace::bench {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t free_bytes_min = std::uintmax_t{8} << 30;
constexpr double log_bytes_per_second_max = 4e9;  // only matters for points longer than the default
constexpr const char* folder_prefix = "headrace-rows64-";

constexpr std::chrono::milliseconds look_again{50};
constexpr int interrupted = 130;

int complain(const error& failure) {
  std::fprintf(stderr, "headrace bench rows64: %s\n", failure.detail.c_str());
  return 1;
}

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
class log_folder {
 public:
  static result<fs::path> make(const fs::path& dir, double seconds) {
    const auto needed =
        std::max(free_bytes_min, static_cast<std::uintmax_t>(seconds * log_bytes_per_second_max));
    remove_leftovers(dir);
    std::error_code failed;
    const auto space = fs::space(dir, failed);
    if (failed) return error{errc::bad_config, "--dir " + dir.string() + ": " + failed.message()};
    if (space.available < needed) {
      return error{errc::disk_full,
                   "--dir " + dir.string() + " has " + std::to_string(space.available >> 20) +
                       " MiB free, the log needs " + std::to_string(needed >> 20) +
                       "; give another folder with --dir"};
    }
    const fs::path folder = dir / (folder_prefix + std::to_string(::getpid()));
    fs::create_directory(folder, failed);
    if (failed)
      return error{errc::io_error, "cannot make " + folder.string() + ": " + failed.message()};
    return folder;
  }
  explicit log_folder(fs::path path) : path_(std::move(path)) {}
  ~log_folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  log_folder(const log_folder&) = delete;
  log_folder& operator=(const log_folder&) = delete;

 private:
  fs::path path_;
};

/// Sleeps until standard input ends: the parent closed it, or died.
void wait_for_end_of_input() {
  char ignored[64];
  while (::read(STDIN_FILENO, ignored, sizeof ignored) > 0) {
  }
}

}  // namespace

int run_bench_rows64(const rows64_options& options,
                     const std::function<bool(std::chrono::milliseconds)>& stop) {
  auto folder = log_folder::make(options.dir, options.seconds);
  if (!folder) return complain(folder.error());
  const log_folder removed_at_the_end(*folder);
  rows64_options inside = options;
  inside.dir = *folder;
  inside.command = command_line(options);
  auto measuring = child::start(client_arguments(inside), {.own_session = true});
  if (!measuring) return complain(measuring.error());
  while (true) {
    if (stop(look_again)) {
      measuring->kill();
      return interrupted;
    }
    if (const auto status = measuring->ended()) return *status;
  }
}

int run_rows64_client(const rows64_options& options) {
  end_with_parent();
  keep_large_blocks();
  auto points = measure_rows64(options);
  if (!points) return complain(points.error());
  const std::string text =
      options.json ? to_json(options, *points) + "\n" : to_table(options, *points);
  std::fputs(text.c_str(), stdout);
  return 0;
}

int run_rows64_server(const rows64_options& options, rows64_peer peer) {
  end_with_parent();
  keep_large_blocks();
  actors::transport_context context;
  const std::string listen = listen_endpoint(options, peer);
  result<std::unique_ptr<server>> started =
      peer == rows64_peer::plain   ? result(start_plain_server(listen))
      : peer == rows64_peer::empty ? start_empty_server(context, listen, options)
                                   : start_product_server(context, listen, options.dir, options);
  if (!started) return complain(started.error());
  std::printf("%s\n", (*started)->endpoint().c_str());
  std::fflush(stdout);
  wait_for_end_of_input();
  ::_exit(0);  // the log is thrown away: nothing is worth writing back
}

}  // namespace headrace::bench
