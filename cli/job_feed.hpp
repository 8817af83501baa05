#pragma once

#include "base/result.hpp"
#include "cli/job/job_file.hpp"
#include "worker/ingest/broker_feed.hpp"

namespace headrace::cli {

/// The feed of a job whose events come from a broker; its password is read from the environment.
/// Fails: bad_config (no such variable).
result<worker::feed_spec> feed_of(const job& job);

}  // namespace headrace::cli
