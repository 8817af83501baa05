#include "bench/rows64/rows64.hpp"

#include "actors/transport/context.hpp"
#include "bench/rows64/arguments.hpp"
#include "bench/rows64/measurement.hpp"
#include "bench/rows64/own_session.hpp"
#include "bench/rows64/process.hpp"
#include "bench/rows64/report.hpp"
#include "bench/rows64/server.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <unistd.h>

namespace headrace::bench {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t free_bytes_min = std::uintmax_t{8} << 30;
constexpr double log_bytes_per_second_max = 4e9;  // only matters for points longer than the default

/// Sleeps until standard input ends: the parent closed it, or died.
void wait_for_end_of_input() {
  char ignored[64];
  while (::read(STDIN_FILENO, ignored, sizeof ignored) > 0) {
  }
}

}  // namespace

int run_bench_rows64(const rows64_options& options,
                     const std::function<bool(std::chrono::milliseconds)>& stop) {
  const auto bytes = std::max(
      free_bytes_min, static_cast<std::uintmax_t>(options.seconds * log_bytes_per_second_max));
  const auto arguments = [&options](const fs::path& folder) {
    rows64_options inside = options;
    inside.dir = folder;
    inside.command = command_line(options);
    return client_arguments(inside);
  };
  return run_in_own_session("rows64", options.dir, bytes, arguments, stop);
}

int run_rows64_client(const rows64_options& options) {
  end_with_parent();
  keep_large_blocks();
  auto points = measure_rows64(options);
  if (!points) return complain("rows64", points.error());
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
  if (!started) return complain("rows64", started.error());
  std::printf("%s\n", (*started)->endpoint().c_str());
  std::fflush(stdout);
  wait_for_end_of_input();
  ::_exit(0);  // the log is thrown away: nothing is worth writing back
}

}  // namespace headrace::bench
