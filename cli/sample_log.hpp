#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "cli/job/job_file.hpp"
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

/// The log of sealed batches: in the job's folder, or a stream that is made if it is not there. A
/// stream without records takes over what lies in the folder: of a job that kept its samples there,
/// or that was restored. Fails: corrupt, io_error, disk_full; of a broker unavailable, wrong_job
/// (the stream has another job's samples), bad_config. `least`: what `committed` means at least in
/// the folder, whatever the job says.
result<std::unique_ptr<storage::ordered_log>> open_sample_log(
    const job& job,
    const storage::job_folder& folder,
    schemas::log_mode least = schemas::log_mode::none);

/// The same to be read, also beside its worker: what is there now, of this source. Fails also:
/// not_found.
result<std::unique_ptr<storage::ordered_log>> read_sample_log(const job& job,
                                                              const storage::job_folder& folder,
                                                              const std::string& source);

/// What of that log may go: samples of live events, once rows hold what was learned of them.
/// `covered` says through which batch they do; empty: what a server beside it wrote into the folder
/// counts. Nothing for files, which are read again from their samples, all of them. Fails: corrupt,
/// io_error.
result<std::optional<worker::sample_retention>> sample_retention_of(
    const job& job,
    const storage::job_folder& folder,
    storage::ordered_log& log,
    const clock& time,
    const std::function<batch_number()>& covered = nullptr);

}  // namespace headrace::cli
