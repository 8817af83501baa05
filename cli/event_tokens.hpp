#pragma once

#include "base/result.hpp"
#include "cli/job/live_section.hpp"
#include "worker/events/producer_policy.hpp"

#include <vector>

namespace headrace::cli {

/// The tokens that `[gate]` points to; none where it names no place for them, and then none is
/// needed. An environment variable holds one, for all producers. A file has one a line, or a
/// producer's name, a space and its token; empty lines and those that begin with # don't count. It
/// belongs to this user or root, and nobody else may read or write it.
///
/// A token is 8 … 256 printable ASCII bytes without spaces. Messages never show one. Fails:
/// bad_config (no such variable, other rights, a line that is no token), not_found, io_error.
result<std::vector<worker::producer_token>> read_tokens(const gate_spec& gate);

}  // namespace headrace::cli
