#pragma once

#include "base/result.hpp"
#include "cli/job/job_file.hpp"

#include <string>

namespace headrace::cli {

/// Opens the job's source, reads its header and first rows (never the whole file) and says what a
/// run would do: a few lines for a person, or one JSON object. Starts nothing, writes nothing. Live
/// events are not waited for, and no broker is asked.
/// Fails as worker::make_source and event_source::next do; bad_input when no row of the source can
/// be used.
result<std::string> check_job(const job& job, bool json);

/// `check_job` to standard output, a failure to standard error; returns the exit code.
int run_check(const job& job, bool json);

}  // namespace headrace::cli
