#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "cli/job_serve.hpp"
#include "cli/job_server.hpp"
#include "cli/job_worker.hpp"
#include "cli/pages/dashboard.hpp"
#include "cli/run_result.hpp"
#include "cli/signals.hpp"

#include <string>
#include <vector>

namespace headrace::cli {

/// How a run is shown.
struct watch_options {
  std::string data;                   // where the events come from, for the result
  bool table = false;                 // a line a second on standard output
  bool report = true;                 // report.html in the state folder
  std::vector<std::string> notes;     // for the result
  dashboard* page = nullptr;          // shows it, too
  const job_serve* served = nullptr;  // what answers predictions in this process
};

/// Watches a run until it ends: takes a point a second, shows it, passes the first Ctrl-C on, and
/// gathers the result. `server` may be null (it is another process). The figures, the series and
/// the report stay in the state folder. Fails with what ended the run: bad_input, io_error,
/// corrupt, …; what was learned is safe.
result<run_result> watch_run(job_worker& worker,
                             job_server* server,
                             const job& job,
                             const watch_options& how,
                             stop_signals& signals,
                             const clock& time);

}  // namespace headrace::cli
