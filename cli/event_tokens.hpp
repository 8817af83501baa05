#pragma once

#include "actors/http/http_server.hpp"
#include "base/result.hpp"
#include "cli/job/live_section.hpp"
#include "worker/events/producer_policy.hpp"

#include <string_view>
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

/// Whether it is the token of some producer; of whom, the intake looks at. Fails: unauthorized.
result<void> known(const std::vector<worker::producer_token>& tokens, std::string_view given);

/// For those who may push only: figures say as much of a job as its events do. Holds a copy of
/// `tokens`.
actors::http_route guarded(std::vector<worker::producer_token> tokens, actors::http_route route);

}  // namespace headrace::cli
