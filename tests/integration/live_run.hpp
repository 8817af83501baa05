#pragma once

#include "base/random.hpp"
#include "schemas/sample.hpp"
#include "tests/support/child_process.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

/// `headrace run`, or `ingest`, of a job whose events are pushed over HTTP, and what it sealed.
namespace headrace::tests {

constexpr std::chrono::seconds live_patience{120};

bool has_curl();

/// The run as a process, and where it takes events.
struct live_run {
  /// `more`: further arguments. `url` is empty when it did not start.
  live_run(const std::string& job,
           const std::string& state,
           std::vector<std::string> more = {},
           const std::string& verb = "run");
  static std::vector<std::string> arguments(const std::string& job,
                                            const std::string& state,
                                            std::vector<std::string> more = {},
                                            const std::string& verb = "run");
  /// Ends it with Ctrl-C and returns its line.
  std::string interrupt();

  child_process process;
  std::string url;
};

/// The answer, and behind it `status=` and its code.
finished post(const std::string& url, const std::string& body, const temporary_folder& folder);

/// Calls `visit` with each sealed sample of `state` in its order: a batch and a place in it. Their
/// numbers have no gap, or the test fails.
void for_each_sealed(
    const std::string& state,
    const std::function<void(const schemas::sample_batch& batch, std::uint32_t place)>& visit);

/// Impressions by number, a click for every third, each with an id; at the end an impression three
/// hours later that ends every window and is not joined itself. JSON lines.
std::vector<std::string> clicked_stream(std::uint64_t impressions);
/// Label of each sealed sample of such a stream by its item's key; one that is there twice fails
/// the test.
std::map<std::uint64_t, float> sealed_labels(const std::string& state);

/// Every impression of such a stream is sealed once, with its label.
void expect_all_joined(const std::string& state, std::uint64_t impressions);

/// What a producer pushes, each line an event with an id, in this order.
struct lines_under_fire {
  std::span<const std::string> lines;
  int kills = 0;
  std::size_t push_max = 1;  // lines
  std::string verb = "run";
  std::vector<std::string> more = {};  // arguments of it
};
/// Pushes every line to runs of `job` that are killed (SIGKILL) at random moments: most in the
/// midst of a push, one in five while they start. What was not acknowledged is pushed again, and
/// often some of what was. The last run is ended with Ctrl-C.
void push_under_fire(const std::string& job,
                     const std::string& state,
                     const lines_under_fire& stream,
                     random_stream& random);

}  // namespace headrace::tests
