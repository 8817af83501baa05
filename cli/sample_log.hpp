#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "cli/job_file.hpp"
#include "schemas/push.hpp"
#include "storage/job_folder.hpp"
#include "storage/ordered_log.hpp"
#include "worker/batch/sample_retention.hpp"

#include <functional>
#include <memory>
#include <optional>

namespace headrace::cli {

/// The job's source as its batches name it.
schemas::source_id source_of(const job& job);

/// The log of sealed batches in the job's folder. Fails: corrupt, io_error, disk_full.
/// `least`: what `committed` means at least, whatever the job says.
result<std::unique_ptr<storage::ordered_log>> open_sample_log(
    const job& job,
    const storage::job_folder& folder,
    schemas::log_mode least = schemas::log_mode::none);

/// What of that log may go: samples of live events, once rows hold what was learned of them.
/// `covered` says through which batch they do; empty: what a server beside it wrote into the folder
/// counts. Nothing for files, which are read again from their samples, all of them. Fails: corrupt,
/// io_error.
result<std::optional<worker::sample_retention>> sample_retention_of(
    const job& job,
    const storage::job_folder& folder,
    const clock& time,
    const std::function<batch_number()>& covered = nullptr);

}  // namespace headrace::cli
