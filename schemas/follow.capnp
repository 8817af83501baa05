# What a replica asks a shard for: what changed. docs/wire-format.md has the rules; field numbers are frozen.
@0xe1b0c6d97a52f3a8;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("headrace::schemas::wire");

struct FollowRequest {
  protocol @0 :UInt16;
  shard @1 :UInt32;
  jobFingerprint @2 :UInt64;
  subscriber @3 :UInt64;     # drawn once by each process that follows; never 0
  session @4 :UInt64;        # the newest it knows; 0 = none
  number @5 :UInt64;         # everything of that session through this delta was taken
  intervalMs @6 :UInt32;     # at least between two deltas of changes
  waitMs @7 :UInt32;         # how long to wait for a change
  bytesMax @8 :UInt32;       # of rows in one delta, about
}

struct FollowReply {
  protocol @0 :UInt16;
  status @1 :UInt16;         # errc
  detail @2 :Text;
  retryAfterMs @3 :UInt32;   # with `overloaded`
  delta @4 :Data;            # a Delta; empty with a refusal
}
