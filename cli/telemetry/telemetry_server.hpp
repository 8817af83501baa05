#pragma once

#include "actors/http/http_server.hpp"
#include "base/result.hpp"
#include "cli/job/job_file.hpp"
#include "cli/telemetry/job_metrics.hpp"
#include "cli/telemetry/process_series.hpp"

#include <memory>
#include <vector>

namespace headrace::cli {

/// Adds what every process says to `metrics`, and answers `/metrics`, `/healthz` and `/readyz`
/// where
/// `[telemetry]` says; null where it says nowhere. A job whose producers need a token asks for one
/// at `/metrics` too. `metrics` and all that its parts look at outlive the server. Fails:
/// bad_config (tokens that cannot be read), in_use. `more` is answered there too.
result<std::unique_ptr<actors::http_server>> serve_telemetry(
    const job& job,
    process_facts what,
    job_metrics& metrics,
    std::vector<actors::http_route> more = {});

}  // namespace headrace::cli
