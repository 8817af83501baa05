#pragma once

#include "base/result.hpp"

#include <filesystem>

namespace headrace::worker {

/// Says whether a file holds exactly the 100,000 rows of MovieLens-100K, in any order.
///
/// Reads `u.data` (tabs, no header) or `ml-100k.inter` (tabs, typed header); rating and time may be
/// written as floats. The rows as `user\titem\trating\ttime\n`, bytewise sorted, must have the
/// known SHA-256 (issue 2, computed from RecBole's copy). Fails: not_found, io_error, bad_input
/// (what is different).
result<void> check_movielens(const std::filesystem::path& file);

}  // namespace headrace::worker
