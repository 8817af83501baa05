# Everything between processes that is neither rows nor gradients. docs/wire-format.md has the rules;
# field numbers are frozen.
@0xaeb408f9a55a6eea;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("headrace::schemas::wire");

using Push = import "push.capnp";

struct Hello {
  protocol @0 :UInt16;       # newest the sender speaks
  protocolMin @1 :UInt16;    # oldest
  jobFingerprint @2 :UInt64;
  sender @3 :Text;
}

struct Welcome {
  protocol @0 :UInt16;
  status @1 :UInt16;         # errc
  shards @2 :UInt32;
  detail @3 :Text;
  epoch @4 :UInt64;
  schemaVersion @5 :UInt32;
}

struct WatermarkRequest {
  protocol @0 :UInt16;
  shard @1 :UInt32;
  source @2 :Push.Source;
}

struct WatermarkReply {
  protocol @0 :UInt16;
  status @1 :UInt16;         # errc
  shard @2 :UInt32;
  detail @3 :Text;
  rows @4 :UInt64;           # committed watermark of lane rows
  dense @5 :UInt64;          # of lane dense
  epoch @6 :UInt64;
}

struct DigestRequest {
  protocol @0 :UInt16;
  shard @1 :UInt32;
  countsOnly @2 :Bool;       # rows, bytes and lsn without hashing every row
}

struct DigestReply {
  protocol @0 :UInt16;
  status @1 :UInt16;         # errc
  shard @2 :UInt32;
  detail @3 :Text;
  low @4 :UInt64;
  high @5 :UInt64;
  weightsLow @6 :UInt64;
  weightsHigh @7 :UInt64;
  rows @8 :UInt64;
  bytes @9 :UInt64;
  lsn @10 :UInt64;
}

struct FlushRequest {
  protocol @0 :UInt16;
  shard @1 :UInt32;
}

struct FlushReply {
  protocol @0 :UInt16;
  status @1 :UInt16;         # errc
  shard @2 :UInt32;
  detail @3 :Text;
  flushed @4 :UInt64;        # lsn
}
