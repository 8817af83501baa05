#pragma once

#include "cli/job/job_file.hpp"
#include "cli/job_serve.hpp"
#include "cli/job_server.hpp"
#include "cli/job_worker.hpp"
#include "cli/pages/dashboard.hpp"
#include "cli/verbs.hpp"

#include <filesystem>
#include <optional>
#include <string>

namespace headrace::cli {

/// A whole job in this process: what `run` and `demo` do once they know job and folder.
struct run_options {
  std::filesystem::path state;
  std::string data;  // where the events come from, for the result
  std::optional<std::filesystem::path> predictions;
  bool json = false;
  dashboard* page = nullptr;          // shows the run, too; outlives it
  const job_serve* served = nullptr;  // what answers predictions of it, for that
  bool page_may_fail = false;         // nobody asked for it: a run goes on without
  std::vector<std::string> notes;
};

/// What people call where a job's events come from.
std::string shown_source(const worker::source_spec& source);

/// Starts server and worker, watches them to the end, prints the result; returns the exit code. A
/// finished source is "nothing new": the last figures and 0.
int run_job(const job& job, const run_options& how, verb_context& context);

/// The same for a worker that is started already; `server` is null where it is another process.
int train(job_worker& worker,
          job_server* server,
          const job& job,
          const run_options& how,
          verb_context& context,
          const clock& time);

}  // namespace headrace::cli
