#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "storage/ordered_log.hpp"

#include <filesystem>

namespace headrace::storage {

/// Writes the records (`after`, `through`] of `from` into `folder`, which must not hold a log yet,
/// as a log of their own whose first position is `after` + 1. With none to write it is an empty log
/// that goes on there. Nothing is synced.
///
/// Reads `from` on the calling thread and may run beside its appends where `read_from` may. Fails:
/// not_found (`from` no longer reaches back so far, or ends before `through`), and as segment_log.
result<void> copy_log(ordered_log& from,
                      lsn after,
                      lsn through,
                      const std::filesystem::path& folder);

/// Appends to `into` the records of `from` behind its last one; nothing where it has as many. What
/// was cut short is gone on with. `into` settles appends at once, and is empty before the first
/// record of `from`, or ends with one that `from` has at that place. Fails: corrupt (another record
/// there, or a gap), and as reading and appending.
result<void> append_rest(ordered_log& from, ordered_log& into);

}  // namespace headrace::storage
