#include "cli/telemetry/process_series.hpp"

#include "cli/run_result.hpp"

#include <cstdint>
#include <sys/resource.h>
#include <system_error>
#include <unistd.h>

namespace headrace::cli {
namespace {

double cpu_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& of) {
    return static_cast<double>(of.tv_sec) + static_cast<double>(of.tv_usec) / 1e6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

std::uint64_t entries(const char* folder) {
  std::error_code failed;
  std::uint64_t found = 0;
  for (std::filesystem::directory_iterator at(folder, failed), end; !failed && at != end;
       at.increment(failed))
    ++found;
  return found;
}

}  // namespace

void say_process(const process_facts& what, metrics_page& page) {
  page.measure("headrace_build_info",
               "1; what this process is.",
               1,
               {{"version", HEADRACE_VERSION}, {"role", what.role}, {"model", what.model}});
  page.measure("headrace_ready", "What /readyz says.", what.not_ready().empty() ? 1 : 0);
  page.measure("headrace_process_start_timestamp_seconds",
               "When it started.",
               static_cast<double>(what.started_ms) / 1'000);
  page.count("headrace_process_cpu_seconds_total", "Of all threads.", cpu_seconds());
  page.measure("headrace_process_resident_bytes", "Memory that it has.", resident_bytes());
  page.measure("headrace_process_threads", "Of this process.", entries("/proc/self/task"));
  page.measure("headrace_process_open_files", "Sockets included.", entries("/proc/self/fd"));
  std::error_code failed;
  const auto room = std::filesystem::space(what.state, failed);
  if (failed) return;
  page.measure("headrace_state_disk_free_bytes",
               "Of the file system of the state folder, for this user.",
               room.available);
  page.measure("headrace_state_disk_size_bytes", "The whole of it.", room.capacity);
}

}  // namespace headrace::cli
