#pragma once

#include "base/result.hpp"
#include "schemas/push.hpp"
#include "schemas/schema.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace headrace::bench {

enum class rows64_op : std::uint8_t { push, pull };
enum class rows64_transport : std::uint8_t { tcp, ipc, inproc };
/// Whose server: ours, our transport with an empty handler, the stand-in for ps-lite.
enum class rows64_peer : std::uint8_t { headrace, empty, plain };

std::string_view name(rows64_op op);
std::string_view name(rows64_transport transport);
std::string_view name(rows64_peer peer);

/// What `headrace bench rows64` was asked for. Codec, durability and optimizer are ours only: the
/// plain server always runs fp32 add or fp32 pull, over ipc or tcp.
struct rows64_options {
  rows64_op op = rows64_op::push;
  rows64_transport transport = rows64_transport::tcp;
  schemas::value_codec codec = schemas::value_codec::fp32;
  std::uint32_t batch = 4096;  // distinct keys of one request
  std::uint32_t depth = 8;     // requests in flight
  schemas::log_mode durable = schemas::log_mode::os;
  schemas::optimizer_kind optimizer = schemas::optimizer_kind::add;
  std::filesystem::path dir =
      std::filesystem::temp_directory_path();  // of the log files, removed at the end
  std::uint32_t rounds = 5;
  double seconds = 0.7;  // timed part of a point, after 0.3 s of warm-up
  std::uint32_t shards = 1;
  /// Our server writes rows back to RocksDB and cuts its log behind them, as the product does; else
  /// rows are never written back.
  bool row_store = false;
  bool tail_in_memory = false;  // with row_store: the tail has no bound, so a burst stays in DRAM
  bool quantize = false;        // our client makes int8 codes anew for each push, as workers do
  double peer_seconds = 0;      // of the other peers' points; 0 = as long as ours
  bool kill = false;            // kill our server behind each load, start it again, check the sums
  bool json = false;
  std::string command;  // as typed, for the result
};

/// What no run can be made of, in one line: bad_config.
result<void> check(const rows64_options& options);
/// The transport that the plain server is reached by: it has no inproc.
rows64_transport plain_transport(const rows64_options& options);
/// Where a server process of this peer listens: any port, or a socket file in `dir`.
std::string listen_endpoint(const rows64_options& options, rows64_peer peer);

}  // namespace headrace::bench
