# Sealed batches on their way from an ingest process to a worker. docs/wire-format.md has the rules; field numbers are frozen.
@0xf2a1915e882265df;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("headrace::schemas::wire");

using Push = import "push.capnp";

struct SamplesRequest {
  protocol @0 :UInt16;
  source @1 :Push.Source;
  jobFingerprint @2 :UInt64;
  madeBy @3 :UInt64;         # what makes samples of events: features, labels, join
  stream @4 :UInt64;         # the sample log that the worker knows; 0 = none yet
  from @5 :UInt64;           # first batch wanted
  learned @6 :UInt64;        # every shard has acknowledged all through this batch
  covered @7 :UInt64;        # rows on the servers' disks hold all through this batch
  bytesMax @8 :UInt32;       # of batches in the reply: one is sent whatever its size; 0: none is, at once
  waitMs @9 :UInt32;         # how long to wait for a batch
  lastHash @10 :UInt64;      # of the batch before `from`; 0 = the worker does not know it
}

struct SealedBytes {
  hash @0 :UInt64;           # xxh3-64 of bytes
  bytes @1 :Data;            # a SampleBatch as the sample log has it
}

struct SamplesReply {
  protocol @0 :UInt16;
  status @1 :UInt16;         # errc
  detail @2 :Text;
  stream @3 :UInt64;
  from @4 :UInt64;           # number of the first batch
  newest @5 :UInt64;         # sealed so far
  records @6 :UInt64;        # of the source
  live @7 :Bool;
  ended @8 :Bool;            # nothing will follow the newest
  badRows @9 :UInt64;
  firstBadRow @10 :Text;
  badRowReasons @11 :Text;
  batches @12 :List(SealedBytes);  # numbers from, from + 1 …
}
