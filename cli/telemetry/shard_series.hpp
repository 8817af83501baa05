#pragma once

#include "actors/shard_board.hpp"
#include "actors/transport/router.hpp"
#include "cli/telemetry/job_metrics.hpp"

#include <cstdint>
#include <optional>
#include <vector>

namespace headrace::cli {

/// What a server says of its archive.
struct archive_figures {
  std::uint64_t taken = 0;  // checkpoints, by this process
  std::uint64_t failed = 0;
  std::uint64_t took_ms = 0;            // the newest that it took; 0: none
  std::optional<std::uint64_t> age_ms;  // of the newest in the archive, where there is one
};

/// A server's shards, how it is reached, and its checkpoints, at one moment.
struct server_figures {
  std::vector<actors::shard_figures> shards;
  actors::router::counters transport;
  std::optional<archive_figures> archive;  // of a job that has one
  std::uint64_t now_ns = 0;                // steady
};

/// The series of a process that serves shards.
void say_shards(const server_figures& now, metrics_page& page);

}  // namespace headrace::cli
