#include "bench/ingest/ingest.hpp"

#include "bench/ingest/measurement.hpp"
#include "bench/ingest/report.hpp"
#include "bench/rows64/own_session.hpp"
#include "bench/rows64/process.hpp"

#include <algorithm>
#include <cstdio>
#include <string>

namespace headrace::bench {
namespace {

/// Log of a round, twice over for Redis' own file and room to spare.
std::uintmax_t free_bytes(const ingest_options& options) {
  constexpr std::uintmax_t least = std::uintmax_t{1} << 30;
  constexpr std::uintmax_t bytes_each = 1'024;
  return std::max(least, options.events * bytes_each);
}

}  // namespace

int run_bench_ingest(const ingest_options& options,
                     const std::function<bool(std::chrono::milliseconds)>& stop) {
  if (!options.inside) {
    const auto arguments = [&options](const std::filesystem::path& folder) {
      ingest_options inside = options;
      inside.dir = folder;
      inside.inside = true;
      inside.command = command_line(options);
      return ingest_arguments("ingest", inside);
    };
    return run_in_own_session("ingest", options.dir, free_bytes(options), arguments, stop);
  }
  end_with_parent();
  const std::string weight = raise_autogroup_weight();
  auto points = measure_ingest(options);
  if (!points) return complain("ingest", points.error());
  points->weight = weight;
  const std::string text =
      options.json ? to_json(options, *points) + "\n" : to_table(options, *points);
  std::fputs(text.c_str(), stdout);
  return 0;
}

}  // namespace headrace::bench
