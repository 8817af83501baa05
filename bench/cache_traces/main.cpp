// cache_traces [--json] [--only policies|prefetch]: cache policies and guessed prefetch on the
// recorded key traces below HEADRACE_DATA and on generated streams (docs/caching.md).
#include "base/random.hpp"
#include "bench/cache_traces/comparison.hpp"

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace headrace::bench {
namespace {

struct options {
  bool json = false;
  bool policies = true;
  bool prefetch = true;
};

template <class Point>
void print(const std::vector<Point>& points, bool json) {
  if (!json) std::printf("%s\n", to_table(std::span<const Point>(points)).c_str());
  for (const auto& point : points) {
    if (json) std::printf("%s\n", to_json(point).c_str());
  }
  std::fflush(stdout);
}

void print_policies(const key_stream& stream, std::initializer_list<double> shares, bool json) {
  std::vector<policy_point> points;
  for (const double share : shares) points.push_back(compare_policies(stream, share));
  print(points, json);
}

void print_prefetch(const key_stream& stream, bool json) {
  std::vector<prefetch_point> points;
  for (const std::size_t batch : {1, 4, 16, 64})
    points.push_back(compare_prefetch(stream, 0.1, batch));
  print(points, json);
}

/// The web shop's keys are numbered by first use, so that "one more than the largest" foresees
/// every new key: an artefact of the recording. Scattered, as hashed keys are, they tell nothing.
key_stream scattered(key_stream stream) {
  for (auto& key : stream.keys) key = mix64(key);
  stream.name += "-scattered";
  return stream;
}

int run(const options& given) {
  const char* data = std::getenv("HEADRACE_DATA");
  std::vector<key_stream> traces;
  if (data == nullptr) {
    std::fputs("cache_traces: HEADRACE_DATA is not set: generated streams only\n", stderr);
  } else {
    auto read = read_traces(data);
    if (!read) {
      std::fprintf(stderr, "cache_traces: %s\n", describe(read.error()).c_str());
      return 1;
    }
    traces = std::move(*read);
  }
  constexpr std::size_t million = 1'000'000;
  if (given.policies) {
    for (const auto& trace : traces)
      print_policies(trace, {0.01, 0.05, 0.1, 0.25, 0.5}, given.json);
    for (const std::size_t batch : {1, 4096})
      print_policies(zipf_stream(10 * million, 20 * million, batch), {0.01, 0.05, 0.1}, given.json);
    print_policies(drifting_stream(million, 8 * million), {0.01, 0.05, 0.1}, given.json);
  }
  if (given.prefetch) {
    for (auto& trace : traces) {
      if (trace.name.starts_with("web")) print_prefetch(trace, given.json);
      print_prefetch(scattered(std::move(trace)), given.json);
    }
    print_prefetch(zipf_stream(million, million, 1), given.json);
  }
  return 0;
}

}  // namespace
}  // namespace headrace::bench

int main(int count, char** arguments) {
  headrace::bench::options given;
  for (int i = 1; i < count; ++i) {
    const std::string_view argument = arguments[i];
    const std::string_view value = i + 1 < count ? arguments[i + 1] : "";
    if (argument == "--json") {
      given.json = true;
    } else if (argument == "--only" && (value == "policies" || value == "prefetch")) {
      given.policies = value == "policies";
      given.prefetch = value == "prefetch";
      ++i;
    } else {
      std::fputs("usage: cache_traces [--json] [--only policies|prefetch]\n", stderr);
      return 2;
    }
  }
  return headrace::bench::run(given);
}
