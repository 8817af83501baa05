#include "bench/ingest/measurement.hpp"

#include "base/clock.hpp"
#include "bench/ingest/redis_server.hpp"
#include "bench/rows64/process.hpp"
#include "storage/segment_log.hpp"
#include "worker/events/event_gate.hpp"
#include "worker/events/event_reader.hpp"

#include <array>
#include <chrono>
#include <filesystem>
#include <poll.h>
#include <string>
#include <system_error>
#include <unordered_set>
#include <utility>

namespace headrace::bench {
namespace {

namespace fs = std::filesystem;

/// A server process or Redis, over a folder of its own that goes with it.
class ingest_server {
 public:
  static result<ingest_server> start(const ingest_options& options) {
    ingest_server made(options.dir / "files");
    std::error_code failed;
    fs::create_directories(made.folder_, failed);
    if (failed) return error{errc::io_error, made.folder_.string() + ": " + failed.message()};
    if (options.peer == ingest_peer::redis) {
      auto redis = redis_server::start(options.redis, made.folder_);
      if (!redis) return redis.error();
      made.endpoint_ = std::to_string(redis->port());
      made.redis_.emplace(std::move(*redis));
      return made;
    }
    if (auto again = made.start_again(options); !again) return again.error();
    return made;
  }
  ingest_server(ingest_server&&) = default;
  ingest_server& operator=(ingest_server&&) = delete;
  ~ingest_server() {
    ours_.reset();
    redis_.reset();
    std::error_code ignored;
    if (!folder_.empty()) fs::remove_all(folder_, ignored);
  }

  /// An intake process over what is in the folder.
  result<void> start_again(const ingest_options& options) {
    ingest_options inside = options;
    inside.dir = folder_;
    auto process = child::start(ingest_arguments("ingest-server", inside), {.piped = true});
    if (!process) return process.error();
    endpoint_ = process->read_line();
    if (endpoint_.empty()) return error{errc::unavailable, "the intake process ended at once"};
    ours_.emplace(std::move(*process));
    return {};
  }
  void kill() { ours_->kill(); }
  const std::string& endpoint() const { return endpoint_; }
  const fs::path& folder() const { return folder_; }

 private:
  explicit ingest_server(fs::path folder) : folder_(std::move(folder)) {}
  fs::path folder_;
  std::string endpoint_;
  std::optional<redis_server> redis_;
  std::optional<child> ours_;
};

/// Client processes that have made their events and wait for a word.
result<std::vector<child>> start_clients(const ingest_options& options,
                                         const std::string& endpoint) {
  std::vector<child> clients;
  for (std::uint32_t i = 0; i < options.clients; ++i) {
    ingest_options inside = options;
    inside.client = i;
    inside.endpoint = endpoint;
    auto started = child::start(ingest_arguments("ingest-client", inside), {.piped = true});
    if (!started) return started.error();
    clients.push_back(std::move(*started));
  }
  for (auto& client : clients) {
    if (client.read_line() != "ready") return error{errc::unavailable, "a client did not start"};
  }
  return clients;
}

result<ingest_round> results_of(std::vector<child>& clients) {
  std::vector<client_result> found;
  for (auto& client : clients) {
    auto one = parse_client_result(client.read_line());
    if (!one) return one.error();
    found.push_back(std::move(*one));
  }
  return sum_of(found);
}

result<ingest_round> measure_round(const ingest_options& options) {
  auto server = ingest_server::start(options);
  if (!server) return server.error();
  auto clients = start_clients(options, server->endpoint());
  if (!clients) return clients.error();
  for (auto& client : *clients) client.write_line("go");
  return results_of(*clients);
}

/// Kills the intake when about half of a round was pushed.
result<ingest_survival> measure_kill(const ingest_options& options, double events_per_second) {
  auto server = ingest_server::start(options);
  if (!server) return server.error();
  auto clients = start_clients(options, server->endpoint());
  if (!clients) return clients.error();
  for (auto& client : *clients) client.write_line("go");
  const double half_ms = 500.0 * static_cast<double>(options.events) / events_per_second;
  ::poll(nullptr, 0, static_cast<int>(half_ms));
  server->kill();
  for (auto& client : *clients) client.write_line("end");
  const auto acknowledged = results_of(*clients);
  if (!acknowledged) return acknowledged.error();
  const system_clock time;
  const std::uint64_t begin = time.steady_ns();
  if (auto again = server->start_again(options); !again) return again.error();
  ingest_survival found;
  found.restart_ms = static_cast<double>(time.steady_ns() - begin) / 1e6;
  server->kill();
  const auto logged = count_logged_events(server->folder());
  if (!logged) return logged.error();
  found.acknowledged_events = acknowledged->acknowledged;
  found.recovered_events = logged->events;
  if (logged->twice > 0)
    return error{errc::corrupt, std::to_string(logged->twice) + " events are in the log twice"};
  if (options.durable != schemas::log_mode::none &&
      found.recovered_events < found.acknowledged_events) {
    return error{errc::corrupt,
                 "of " + std::to_string(found.acknowledged_events) +
                     " acknowledged events the log holds " +
                     std::to_string(found.recovered_events)};
  }
  return found;
}

}  // namespace

result<logged_count> count_logged_events(const fs::path& folder) {
  storage::segment_log::options how;
  how.folder = folder;
  how.read_only = true;
  auto log = storage::segment_log::open(std::move(how));
  if (!log) return log.error();
  logged_count found;
  std::unordered_set<std::string> ids;
  schemas::event_batch batch;
  result<void> failed;
  auto read = (*log)->read_from(lsn{1}, [&](const storage::log_record& record) {
    const auto events = worker::to_logged_events(record);
    if (!events) return failed = events.error(), false;
    if ((*events)->batch.empty()) return true;
    failed = schemas::decode_event_batch((*events)->batch, batch);
    for (std::size_t i = 0; i < batch.events.size(); ++i) {
      if (worker::is_left_out((*events)->left_out, i)) continue;
      ++(ids.emplace(batch.events[i].id).second ? found.events : found.twice);
    }
    return failed.ok();
  });
  if (!read) return read.error();
  if (!failed) return failed.error();
  return found;
}

result<ingest_points> measure_ingest(const ingest_options& options) {
  ingest_points points;
  points.event_bytes = event_bytes(options);
  const auto version = options.redis == "none"
                           ? result<std::string>(error{errc::not_found, "not asked for"})
                           : redis_version(options.redis);
  if (version) points.redis_version = *version;
  if (!version) points.redis_absent = version.error().detail;
  const std::array<std::pair<ingest_peer, std::vector<ingest_round>*>, 4> peers{
      {{ingest_peer::headrace, &points.headrace},
       {ingest_peer::redis, &points.redis},
       {ingest_peer::http_json, &points.http_json},
       {ingest_peer::http_single, &points.http_single}}};
  for (std::uint32_t round = 0; round < options.rounds; ++round) {
    for (std::size_t turn = 0; turn < peers.size(); ++turn) {
      const auto& [peer, found] = peers[(round + turn) % peers.size()];
      if (peer == ingest_peer::redis && !version) continue;
      ingest_options inside = of_peer(options, peer);
      inside.round = round;
      auto one = measure_round(inside);
      if (!one) return one.error();
      found->push_back(*one);
    }
  }
  ingest_options inside = options;
  inside.round = options.rounds;
  auto survival = measure_kill(inside, points.headrace.back().events_per_second);
  if (!survival) return survival.error();
  points.survival = *survival;
  return points;
}

}  // namespace headrace::bench
