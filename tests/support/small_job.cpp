#include "tests/support/small_job.hpp"

#include "base/random.hpp"
#include "base/zipf.hpp"

#include <cstdlib>
#include <fstream>

namespace headrace::tests {
namespace {

constexpr std::chrono::seconds patience{180};

}  // namespace

std::string small_job::write(const temporary_folder& folder) const {
  std::string path = folder / (name + ".toml");
  const std::string source = events.empty()
                                 ? "uri = \"generate:planted\"\nrows = " + std::to_string(rows)
                                 : "uri = \"file://" + events + "\"\nlabel = \"click > 0\"";
  const std::string features =
      events.empty() ? "" : "[features.a]\n[features.b]\n[features.c]\n[features.d]\n";
  const std::string dim = arch == "count" ? "" : "dim = 4\n";
  // Batches are cut by size alone, so that two workers of one source cut them alike.
  std::ofstream(path) << "[job]\nname = \"" << name << "\"\n"
                      << "[source]\n"
                      << source << "\nduration = \"" << duration.count() << "s\"\n"
                      << features << "[model]\narch = \"" << arch << "\"\n"
                      << dim
                      << "[train]\nbatch_max = 8\nbatch_wait = \"60s\"\nin_flight = 2\n"
                         "push = \"fp32\"\n"
                      << train << "[shards]\ncount = 4\n[durability]\nkeep_log = \"all\"\nlog = \""
                      << log << "\"\nflush_interval = \"" << flush_interval << "\"\n"
                      << more;
  return path;
}

void write_zipf_events(const std::string& file, std::uint64_t rows, std::uint64_t seed) {
  zipf_rejection_inversion ids(0.99, 1'000);
  random_stream draw(seed);
  std::ofstream out(file);
  out << "click,a,b,c,d\n";
  for (std::uint64_t i = 0; i < rows; ++i) {
    out << draw.next_below(2);
    for (int field = 0; field < 4; ++field) out << ',' << ids(draw);
    out << '\n';
  }
}

finished calm_run(const std::string& job, const std::string& state) {
  return run_program({headrace_binary(), "run", job, "--state", state, "--json", "--speed", "max"},
                     patience);
}

std::vector<std::string> worker_command(const std::string& job,
                                        const std::string& state,
                                        const std::string& endpoint) {
  return {headrace_binary(), "worker", job, "--state", state, "--connect", endpoint, "--json"};
}

std::string audited(const std::string& state, std::string& why) {
  const auto inspected =
      run_program({headrace_binary(), "inspect", "digest", "--state", state, "--json"}, patience);
  why = inspected.output + inspected.errors;
  const auto is = [&](const char* key, const std::string& value) {
    return json_field(inspected.output, key) == value;
  };
  const bool right = inspected.status == 0 && is("gaps", "0") && is("duplicates", "0") &&
                     is("voids", "0") && !json_field(inspected.output, "digest_tables").empty() &&
                     is("digest_replayed", json_field(inspected.output, "digest_tables"));
  return right ? inspected.output : std::string();
}

std::uint64_t records_in_rows(const std::string& state) {
  std::ifstream checkpoint(state + "/CHECKPOINT");
  const std::string key = "flushed = ";
  std::uint64_t sum = 0;
  for (std::string line; std::getline(checkpoint, line);) {
    if (line.starts_with(key)) sum += std::stoull(line.substr(key.size()));
  }
  return sum;
}

int by_weight(int small, int large) {
  return std::getenv("HEADRACE_HEAVY") != nullptr ? large : small;
}

}  // namespace headrace::tests
