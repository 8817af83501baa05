#include "actors/http/http_server.hpp"
#include "base/json_line.hpp"
#include "base/parse_number.hpp"

#include <chrono>
#include <cstdio>
#include <sys/resource.h>
#include <thread>

/// One small answer to whoever asks: what the HTTP server itself costs. The load comes from another
/// process, so that the two share nothing but the processor:
///
///   http_small_answers 12 & wrk -t1 -c64 -d10 http://127.0.0.1:PORT/small     (the port is
///   printed)
///
/// Ends after so many seconds with requests and the processor time that each took, as one line.
namespace {

double processor_seconds() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& of) {
    return static_cast<double>(of.tv_sec) + static_cast<double>(of.tv_usec) * 1e-6;
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

}  // namespace

int main(int count, char** words) {
  using namespace headrace;
  const auto seconds = count == 2 ? parse_number<int>(words[1]) : std::nullopt;
  if (!seconds) {
    std::fprintf(stderr, "usage: http_small_answers SECONDS\n");
    return 2;
  }
  auto server = actors::http_server::open(
      {"127.0.0.1:0"},
      {{"GET", "/small", [](const actors::http_request&, const actors::http_reply& reply) {
          actors::http_answer answer;
          answer.body = "{\"accepted\":1}\n";
          reply(std::move(answer));
        }}});
  if (!server) {
    std::fprintf(stderr, "%s\n", describe(server.error()).c_str());
    return 1;
  }
  std::printf("http://%s/small\n", (*server)->endpoints()[0].c_str());
  std::fflush(stdout);
  std::this_thread::sleep_for(std::chrono::seconds(*seconds));
  const auto requests = (*server)->count().requests;
  const double each =
      requests == 0 ? 0.0 : processor_seconds() * 1e6 / static_cast<double>(requests);
  std::puts(json_line().add("requests", requests).add("processor_us", each).text().c_str());
  return 0;
}
