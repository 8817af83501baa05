#pragma once

#include "actors/http/http_server.hpp"

#include <functional>
#include <string>
#include <vector>

namespace headrace::actors {

/// What a supervisor of processes and Prometheus ask, answered on the server's thread:
///
///   GET /healthz   200 while the process answers at all
///   GET /readyz    200 when it takes work, else 503 with why
///   GET /metrics   every series in Prometheus' text form
struct plain_answers {
  /// Empty when ready, else the reason. Any thread.
  std::function<std::string()> not_ready;
  /// metrics_registry::serialize. Any thread.
  std::function<std::string()> metrics;
};
std::vector<http_route> plain_routes(plain_answers answers);

}  // namespace headrace::actors
