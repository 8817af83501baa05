// Predictions over HTTP on loopback, open loop: DeepFM of 26 ids and 13 numbers, rows of 17 columns
// in int8, one user and 100 candidates a request.
//
//   serve_predictions [REQUESTS_PER_SECOND] [SECONDS] [CANDIDATES] [THREADS]
//
// Requests are due at even times whatever the answers do, and a request's time runs from when it
// was due. Prints a line of JSON; rows are learned by nobody, so probabilities mean nothing.
#include "actors/http/serve_routes.hpp"
#include "actors/http/test_http_client.hpp"
#include "base/clock.hpp"
#include "base/json_line.hpp"
#include "base/parse_number.hpp"
#include "base/random.hpp"
#include "serve/test_serving.hpp"
#include "worker/ingest/planted_source.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace headrace::actors {
namespace {

using worker::planted_source;

constexpr std::uint64_t ids = 2'000;  // of each field
constexpr std::size_t connections = 16;

std::string column(std::size_t f, random_stream& draw) {
  if (f < planted_source::id_fields)
    return "\"id" + std::to_string(f + 1) + "\":" + std::to_string(draw.next_below(ids));
  return "\"number" + std::to_string(f + 1 - planted_source::id_fields) +
         "\":" + std::to_string(draw.next_unit());
}

// The user has every even column, a candidate every odd one.
std::string request(std::size_t candidates, std::uint64_t seed) {
  random_stream draw(mix64(seed));
  constexpr std::size_t fields = planted_source::id_fields + planted_source::dense_fields;
  const auto columns = [&](std::size_t first) {
    std::string text = "{";
    for (std::size_t f = first; f < fields; f += 2)
      text += (f > first ? "," : "") + column(f, draw);
    return text + "}";
  };
  std::string text = "{\"user\":" + columns(0) + ",\"candidates\":[";
  for (std::size_t i = 0; i < candidates; ++i) text += (i > 0 ? "," : "") + columns(1);
  return post("/v1/models/planted:predict", text + "]}");
}

double at(std::vector<double>& sorted, double q) {
  return sorted[static_cast<std::size_t>(q * static_cast<double>(sorted.size() - 1))];
}

int run(std::uint64_t rate, std::uint64_t seconds, std::size_t candidates, std::uint32_t threads) {
  worker::source_spec source;
  source.generate = worker::generator::planted;
  const serve::test_job job("planted", source, "deepfm");
  const auto rows = job.empty_replica(true);
  std::vector<std::uint64_t> keys;
  for (std::size_t f = 0; f < planted_source::id_fields + planted_source::dense_fields; ++f) {
    for (std::uint64_t id = 0; id < (f < planted_source::id_fields ? ids : 1); ++id)
      keys.push_back(planted_source::key_of(f, id));
  }
  job.teach(*rows, keys, 1, true);
  const system_clock time;
  serve_routes routes({job.model(), rows}, time, {.threads = threads});
  auto server = http_server::open({"127.0.0.1:0"}, routes.routes());
  CHECK(server.ok());
  std::vector<std::string> requests;
  for (std::uint64_t i = 0; i < 64; ++i) requests.push_back(request(candidates, i));

  const std::uint64_t total = rate * seconds;
  std::vector<double> took(total);
  std::atomic<std::uint64_t> next = 0;
  std::atomic<std::uint64_t> failed = 0;
  const std::uint64_t warm = rate;  // a second that is not counted
  const std::uint64_t begin_ns = time.steady_ns() + 100'000'000;
  {
    std::vector<std::jthread> clients;
    for (std::size_t c = 0; c < connections; ++c) {
      clients.emplace_back([&] {
        test_http_client client((*server)->endpoints()[0]);
        for (std::uint64_t i = next++; i < total; i = next++) {
          const std::uint64_t due_ns = begin_ns + i * 1'000'000'000 / rate;
          const std::uint64_t now = time.steady_ns();
          if (now < due_ns) std::this_thread::sleep_for(std::chrono::nanoseconds(due_ns - now));
          const auto answer = client.ask(requests[i % requests.size()]);
          if (!answer || answer->status != 200) ++failed;
          took[i] = static_cast<double>(time.steady_ns() - due_ns) / 1e6;
        }
      });
    }
  }
  took.erase(took.begin(), took.begin() + static_cast<std::ptrdiff_t>(std::min(warm, total / 2)));
  std::ranges::sort(took);
  const auto count = routes.count();
  double load = 0.0;
  if (::getloadavg(&load, 1) != 1) load = 0.0;
  json_line line;
  line.add("requests_per_second", rate).add("candidates", candidates).add("failed", failed.load());
  line.add("predict_p50_ms", at(took, 0.5)).add("predict_p99_ms", at(took, 0.99));
  line.add("inside_p50_us", count.p50_us).add("inside_p99_us", count.p99_us);
  line.add("samples", count.samples).add("batches", count.batches).add("load_average", load);
  std::puts(line.text().c_str());
  (*server)->stop();
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace headrace::actors

int main(int argc, char** argv) {
  const auto number = [&](int place, std::uint64_t otherwise) {
    return argc > place ? headrace::parse_number<std::uint64_t>(argv[place]).value() : otherwise;
  };
  return headrace::actors::run(
      number(1, 500), number(2, 10), number(3, 100), static_cast<std::uint32_t>(number(4, 1)));
}
