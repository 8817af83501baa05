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

struct StatusRequest {
  protocol @0 :UInt16;
  shard @1 :UInt32;
}

struct StatusReply {
  protocol @0 :UInt16;
  status @1 :UInt16;         # errc
  shard @2 :UInt32;
  detail @3 :Text;
  shards @4 :UInt32;         # of the job
  rows @5 :UInt64;
  bytes @6 :UInt64;          # memory of the tables, index included
  lsn @7 :UInt64;            # last record applied
  flushed @8 :UInt64;        # rows in the store hold every record through this
  version @9 :UInt64;
  tailRows @10 :UInt64;      # learned, not yet in the store
  tailBytes @11 :UInt64;
  logFirst @12 :UInt64;      # oldest record kept; 0 = none
  logMode @13 :UInt16;
  hits @14 :UInt64;          # rows asked for that lay in memory
  fetched @15 :UInt64;       # that came from the store
  absent @16 :UInt64;        # that were in neither
  evicted @17 :UInt64;
  checkpointMs @18 :UInt64;  # when the newest checkpoint was taken; 0 = none by this process
  trouble @19 :Text;         # why pushes are refused or rows not written back; empty when all is well
}

struct CheckpointRequest {
  protocol @0 :UInt16;
  token @1 :UInt64;          # the same in every repetition of one request
}

struct CheckpointReply {
  protocol @0 :UInt16;
  status @1 :UInt16;         # errc: why it was not taken
  detail @2 :Text;
  done @3 :Bool;             # else it is being taken: ask again
  id @4 :Text;
  filesUploaded @5 :UInt64;
  bytesUploaded @6 :UInt64;
  bytesReused @7 :UInt64;    # of files that the archive had
  tookMs @8 :UInt64;
}

struct ForgetRequest {
  protocol @0 :UInt16;
  shard @1 :UInt32;
  table @2 :UInt32;
  dryRun @3 :Bool;
  keys @4 :List(UInt64);     # strictly ascending
}

struct ForgetReply {
  protocol @0 :UInt16;
  status @1 :UInt16;         # errc
  shard @2 :UInt32;
  detail @3 :Text;
  lsn @4 :UInt64;            # of the record that removes them; 0 of a dry run
  found @5 :List(UInt64);    # those of the keys that had a row
}

struct ReleaseRequest {
  protocol @0 :UInt16;
  shard @1 :UInt32;
  source @2 :Text;           # name
}

struct ReleaseReply {
  protocol @0 :UInt16;
  status @1 :UInt16;         # errc
  shard @2 :UInt32;
  detail @3 :Text;
  released @4 :Bool;         # else it was not in quarantine
}
