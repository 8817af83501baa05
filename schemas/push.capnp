# Gradients for one (shard, source, lane), and their acknowledgement. docs/wire-format.md has the rules;
# field numbers are frozen: the update log keeps these bytes.
@0xd8eb24b019363950;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("headrace::schemas::wire");

struct Source {
  name @0 :Text;             # 1 … 64 bytes of [A-Za-z0-9_.-]
  generation @1 :UInt32;
}

struct PushSection {
  protocol @0 :UInt16;
  lane @1 :UInt16;           # schemas::lane
  schemaVersion @2 :UInt32;
  epoch @3 :UInt64;
  shard @4 :UInt32;
  source @5 :Source;
  batch @6 :UInt64;
  prev @7 :UInt64;
  pulledVersion @8 :UInt64;
  eventTimeMs @9 :UInt64;    # 0 = unknown
  blocks @10 :List(RowBlock);  # empty = an advance
  acceptedMs @11 :UInt64;    # every event of the source accepted before it is in this batch or an earlier one; 0 = unknown
}

struct RowBlock {
  table @0 :UInt32;
  dim @1 :UInt32;
  rows @2 :UInt32;
  valueCodec @3 :UInt16;     # schemas::value_codec
  keyCodec @4 :UInt16;       # schemas::key_codec
  keys @5 :Data;             # raw: rows × u64; delta_packed: schemas/packed_numbers.hpp
  counts @6 :Data;           # rows × u32, or empty when each is 1; delta_packed: the same
  scales @7 :Data;           # int8: rows × fp16 bits; topk and int4: schemas/value_layout.hpp
  values @8 :Data;           # fp32: rows × dim × f32; int8: rows × dim × i8; …
}

struct PushAck {
  protocol @0 :UInt16;
  status @1 :UInt16;         # errc
  shard @2 :UInt32;
  detail @3 :Text;
  applied @4 :Bool;
  mode @5 :UInt16;           # schemas::log_mode
  retryAfterMs @6 :UInt32;
  watermark @7 :UInt64;
  lsn @8 :UInt64;
  version @9 :UInt64;
  slowestClock @10 :UInt64;
  epoch @11 :UInt64;
  lane @12 :UInt8;           # schemas::lane of the section
}
