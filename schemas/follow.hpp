#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

#include <cstdint>
#include <string>

/// How a replica follows a shard (docs/deltas.md). Each request says everything, so that either
/// side may have been started anew in between; it may be lost or sent twice.
namespace headrace::schemas {

/// Sessions a subscriber can name: later ones need room above.
inline constexpr std::uint64_t session_max = UINT64_MAX / 2;

/// Acknowledges what was taken and asks for what follows.
struct follow_request {
  shard_id shard;
  std::uint64_t job_fingerprint = 0;
  std::uint64_t subscriber = 0;  // drawn once by each process that follows; never 0
  std::uint64_t session = 0;  // the newest it knows; 0 = none. Any other of the shard's begins anew
  std::uint64_t number = 0;   // everything of that session through this delta was taken
  std::uint32_t interval_ms = 0;  // at least between two deltas of changes
  std::uint32_t wait_ms = 0;      // how long to wait for a change
  std::uint32_t bytes_max = 0;    // of rows in one delta, about
  friend bool operator==(const follow_request&, const follow_request&) = default;
};

struct follow_reply {
  errc status = errc::ok;
  std::string detail;
  std::uint32_t retry_after_ms = 0;  // with `overloaded`
  frame delta;                       // schemas/delta.hpp; empty with a refusal
};

frame encode(const follow_request& m);
frame encode(const follow_reply& m);
/// Fail: malformed, too_large, bad_protocol. The delta is not looked at: decode_delta does.
result<follow_request> decode_follow_request(const frame& bytes);
result<follow_reply> decode_follow_reply(const frame& bytes);

}  // namespace headrace::schemas
