#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "schemas/follow.hpp"
#include "serve/replica.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace headrace::serve {

/// The asking side of ps/delta/followers.hpp: what a replica asks each shard for and when, and the
/// deltas that came, applied.
///
/// One request to each shard is on its way at a time. It is sent again when no answer comes within
/// what it may wait and `patience_ms`, later and later up to `pause_ms_max`, for ever: a shard that
/// is started anew begins another session, and the replica serves what it has meanwhile. An answer
/// that comes late is taken, too. No socket, no clock. Single-threaded: the thread that applies.
class follow_plan {
 public:
  struct settings {
    std::uint64_t job_fingerprint = 0;
    std::uint64_t subscriber = 0;  // drawn once by this process; never 0
    std::uint32_t interval_ms = 50;
    std::uint32_t wait_ms = 500;
    std::uint32_t bytes_max = 4U << 20;
    std::uint64_t patience_ms = 1'000;
    std::uint64_t pause_ms_least = 20;
    std::uint64_t pause_ms_max = 2'000;
  };
  /// `into` outlives this; nobody else applies to it.
  follow_plan(const settings& how, replica& into);

  struct request {
    std::uint64_t id = 0;
    schemas::follow_request asks;
  };
  /// The next request to send now, if any: call it until there is none.
  std::optional<request> due(std::uint64_t now_ns);
  /// An answer as it came from `shard` to the request `id`.
  void take(shard_id shard,
            std::uint64_t id,
            const frame& bytes,
            std::uint64_t now_ns,
            std::uint64_t now_ms);
  /// When `due` may have something: steady clock.
  std::uint64_t wake_ns() const;

  struct figures {
    std::uint64_t deltas = 0;  // taken, beats among them
    std::uint64_t bytes = 0;   // of them
    std::uint64_t rows = 0;    // in them, gone ones too
    std::uint64_t sessions = 0;
    std::uint64_t resumed = 0;       // requests sent again, and deltas that did not fit
    std::uint64_t refused = 0;       // answers that were refusals or could not be read
    std::uint64_t lag_versions = 0;  // that the shards are ahead, as they last said
    std::uint64_t heard_ms = 0;      // every shard has answered since; 0: not yet
    std::string trouble;             // empty: all is well
  };
  figures count() const;

 private:
  struct asked {
    std::uint64_t id = 0;      // of the last request
    std::uint64_t act_ns = 0;  // when it is overdue, or when to ask
    std::uint64_t pause_ms = 0;
    std::uint64_t heard_ms = 0;
    std::string trouble;
    bool awaiting = false;
  };
  void take_delta(
      asked& of, shard_id shard, const frame& bytes, std::uint64_t now_ns, std::uint64_t now_ms);
  void pause(asked& of, std::string why, std::uint64_t least_ms, std::uint64_t now_ns) const;

  settings how_;
  replica& into_;
  std::vector<asked> shards_;
  std::uint64_t last_id_ = 0;
  figures seen_;
};

}  // namespace headrace::serve
