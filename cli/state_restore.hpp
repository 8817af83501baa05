#pragma once

#include "base/result.hpp"
#include "storage/archived_checkpoint.hpp"
#include "storage/checkpoint_archive.hpp"
#include "storage/job_folder.hpp"

#include <filesystem>
#include <string>

namespace headrace::cli {

/// Makes `state`, which is absent, empty or left by an earlier attempt, the state folder that the
/// checkpoint was. Every file is checked against the manifest. Files come into `state`/.restoring
/// and JOB comes to its place last: until then no server takes the folder, and the same call goes
/// on where this one stopped.
///
/// `id` empty: the newest. Fails: bad_input (the folder holds something else), wrong_job,
/// not_found, and as checkpoint_archive.
result<storage::archived_checkpoint> restore_state(storage::checkpoint_archive& archive,
                                                   std::string id,
                                                   const storage::job_identity& job,
                                                   const std::filesystem::path& state);

/// The checkpoint's id, or the newest one's where it is empty. Fails: not_found.
result<std::string> checkpoint_or_newest(storage::checkpoint_archive& archive, std::string id);
/// Fails: wrong_job.
result<void> check_is_of(const storage::archived_checkpoint& checkpoint,
                         const storage::job_identity& job);

}  // namespace headrace::cli
