#pragma once

#include "actors/request_path.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "serve/replica.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace headrace::actors {

/// Fills a replica from the shards of a job and keeps it fresh: the shell around a follow_plan
/// (serve/follow_plan.hpp). Its own thread applies deltas.
///
/// One request to each shard is on its way at a time: it acknowledges what was taken and asks for
/// what follows; the shard holds it until its coalescing interval has passed and something changed,
/// or for a beat. What got lost is asked for again. A server that is away is waited for, with one
/// line in the log, and the replica serves what it has.
class replica_follower {
 public:
  using connector =
      std::function<result<std::unique_ptr<request_path>>(request_path::receiver receive)>;
  struct parts {
    std::shared_ptr<serve::replica> into;  // nobody else applies to it
    std::uint64_t job_fingerprint = 0;
    std::string endpoint;  // for the log and for people
    std::string sender;    // for the server's log
    connector connect;
    std::uint32_t interval_ms = 50;
  };
  /// Fails: as `connect`.
  static result<std::unique_ptr<replica_follower>> start(parts from, const clock& time);
  ~replica_follower();  // stops
  replica_follower(const replica_follower&) = delete;
  replica_follower& operator=(const replica_follower&) = delete;

  struct figures {
    std::uint64_t deltas = 0;        // taken, beats among them
    std::uint64_t bytes = 0;         // of them
    std::uint64_t rows = 0;          // in them, gone ones too
    std::uint64_t sessions = 0;      // begun, of all shards
    std::uint64_t resumed = 0;       // requests sent again, and deltas that did not fit
    std::uint64_t refused = 0;       // answers that were refusals or could not be read
    std::uint64_t lag_versions = 0;  // that the shards are ahead, as they last said
    std::uint64_t heard_ms = 0;      // since 1970 UTC: every shard has answered since; 0 = not yet
    std::string trouble;             // why nothing comes, for people; empty: all is well
  };
  /// Any thread.
  figures count() const;

 private:
  struct state;
  explicit replica_follower(std::shared_ptr<state> running);
  std::shared_ptr<state> state_;
};

}  // namespace headrace::actors
