#pragma once

#include "actors/http/http_server.hpp"
#include "actors/http/serve_routes.hpp"
#include "actors/replica_follower.hpp"
#include "cli/telemetry/job_metrics.hpp"
#include "serve/replica.hpp"

#include <cstddef>
#include <cstdint>

namespace headrace::cli {

/// What a process that answers predictions has, hears and was asked, at one moment.
struct serve_figures {
  serve::replica_stamp stamp;
  std::size_t rows = 0;
  std::size_t bytes = 0;  // of memory
  actors::replica_follower::figures heard;
  actors::serve_routes::counters asked;
  actors::http_server::counters http;
  std::uint64_t now_ms = 0;
};

/// Its series.
void say_serving(const serve_figures& now, metrics_page& page);

}  // namespace headrace::cli
