#include "bench/rows64/measurement.hpp"

#include "bench/rows64/arguments.hpp"
#include "bench/rows64/process.hpp"
#include "bench/rows64/server.hpp"
#include "bench/rows64/warm_memory.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

namespace headrace::bench {
namespace {

constexpr std::array peers{rows64_peer::headrace, rows64_peer::empty, rows64_peer::plain};

/// A server of one peer, in a process of its own or, for inproc, in this one.
struct running_server {
  std::optional<child> process;
  std::unique_ptr<server> here;
  std::string endpoint;
};

result<running_server> start_here(actors::transport_context& context,
                                  const rows64_options& options,
                                  rows64_peer peer) {
  auto started = peer == rows64_peer::headrace
                     ? start_product_server(context, "inproc://rows64", options.dir, options)
                     : start_empty_server(context, "inproc://rows64", options);
  if (!started) return started.error();
  running_server made;
  made.endpoint = "inproc://rows64";
  made.here = std::move(*started);
  return made;
}

result<running_server> start_process(const rows64_options& options, rows64_peer peer) {
  std::error_code failed;
  std::filesystem::create_directories(options.dir, failed);  // of its socket, if it has one
  auto started = child::start(server_arguments(options, peer), {.piped = true});
  if (!started) return started.error();
  running_server made;
  made.process.emplace(std::move(*started));
  made.endpoint = made.process->read_line();
  if (made.endpoint.empty())
    return error{errc::unavailable, std::string(name(peer)) + " server did not start"};
  return made;
}

result<running_server> start_server(actors::transport_context& context,
                                    const rows64_options& options,
                                    rows64_peer peer) {
  const bool here = options.transport == rows64_transport::inproc;
  return here ? start_here(context, options, peer) : start_process(options, peer);
}

/// Other peers may be loaded for a shorter time.
rows64_options options_for(rows64_options options, rows64_peer peer) {
  if (peer != rows64_peer::headrace && options.peer_seconds > 0)
    options.seconds = options.peer_seconds;
  return options;
}

/// The plain server knows fp32 and `add` only, and no inproc.
rows64_options options_for_plain(rows64_options options) {
  options.codec = schemas::value_codec::fp32;
  options.optimizer = schemas::optimizer_kind::add;
  options.transport = plain_transport(options);
  return options;
}

struct loads {
  std::vector<row_batch> pool;
  std::vector<row_batch> prefill;
};

/// Bytes a log may grow by while one point is loaded.
std::uintmax_t log_bytes(const rows64_options& options) {
  constexpr double bytes_per_second = 2.5e9;
  constexpr double bytes_max = 4e9;
  return options.op == rows64_op::pull
             ? 0
             : static_cast<std::uintmax_t>(
                   std::min(bytes_max, (0.3 + options.seconds) * bytes_per_second));
}

/// Reads every row back and counts those that were checked.
result<void> verify_all(peer_client& client,
                        const loads& load,
                        const rows64_options& options,
                        ledger& done,
                        std::uint64_t& verified) {
  done.close();
  if (options.op == rows64_op::pull) {
    if (auto right = verify(client, load.pool, options.codec, done); !right) return right;
  }
  if (auto right = verify(client, load.prefill, schemas::value_codec::fp32, done); !right)
    return right;
  verified += done.checked();
  return {};
}

/// One point of ours or of the empty handler: start, fill, load, kill and start again if asked,
/// check, stop.
result<measured> measure_product(const loads& load,
                                 const rows64_options& options,
                                 rows64_peer peer,
                                 warm_memory& memory,
                                 rows64_points& points) {
  actors::transport_context context;
  auto running = start_server(context, options, peer);
  if (!running) return running.error();
  const auto client = connect_product(context, running->endpoint, load.pool, options);
  ledger done(load.prefill, load.pool, rows64_optimizer(options.optimizer));
  if (peer == rows64_peer::empty) return run_load(*client, load.pool, options, done);
  if (auto filled = run_prefill(*client, load.prefill); !filled) return filled.error();
  memory.release();
  auto point = run_load(*client, load.pool, options, done);
  if (!point) return point;
  if (options.kill) {
    auto survived = kill_in_flight(*client, load.pool, options, done, [&]() -> result<std::string> {
      running->process->kill();
      auto again = start_process(options, peer);
      if (!again) return again.error();
      running->process.emplace(std::move(*again->process));
      return again->endpoint;
    });
    if (!survived) return survived.error();
    points.kills.push_back(*survived);
  }
  if (auto right = verify_all(*client, load, options, done, points.verified_rows); !right)
    return right.error();
  return point;
}

/// One point of the plain server: start, fill, load, check, stop.
result<measured> measure_plain(const loads& load, const rows64_options& asked) {
  const rows64_options options = options_for_plain(asked);
  actors::transport_context context;
  auto running = start_process(options, rows64_peer::plain);
  if (!running) return running.error();
  const auto client = connect_plain(context, running->endpoint);
  ledger done(load.prefill, load.pool, rows64_optimizer(options.optimizer));
  if (auto filled = run_prefill(*client, load.prefill); !filled) return filled.error();
  auto point = run_load(*client, load.pool, options, done);
  if (!point) return point;
  std::uint64_t verified = 0;
  if (auto right = verify_all(*client, load, options, done, verified); !right) return right.error();
  return point;
}

/// One point of one peer.
result<measured> measure_peer(const loads& load,
                              const rows64_options& options,
                              rows64_peer peer,
                              warm_memory& memory,
                              rows64_points& points) {
  if (peer == rows64_peer::plain) return measure_plain(load, options);
  return measure_product(load, options, peer, memory, points);
}

std::vector<measured>& points_of(rows64_points& points, rows64_peer peer) {
  switch (peer) {
    case rows64_peer::headrace:
      return points.headrace;
    case rows64_peer::empty:
      return points.empty;
    case rows64_peer::plain:
      return points.plain;
  }
  return points.plain;
}

}  // namespace

result<rows64_points> measure_rows64(const rows64_options& options) {
  rows64_points points;
  points.weight = raise_autogroup_weight();
  const loads load{make_pool(options.batch), make_prefill()};
  warm_memory memory(options.dir, log_bytes(options));
  for (std::uint32_t round = 0; round < options.rounds; ++round) {
    for (std::size_t i = 0; i < peers.size(); ++i) {
      const rows64_peer peer = peers[(i + round) % peers.size()];
      rows64_options inside = options_for(options, peer);
      inside.dir = options.dir / ("round-" + std::to_string(round + 1));
      auto point = measure_peer(load, inside, peer, memory, points);
      if (peer == rows64_peer::headrace) memory.keep(inside.dir);
      if (!point) {
        return error{point.error().code,
                     std::string(name(peer)) + " server: " + describe(point.error())};
      }
      points_of(points, peer).push_back(*point);
    }
  }
  return points;
}

}  // namespace headrace::bench
