# Rows by key, and the answer. docs/wire-format.md has the rules; field numbers are frozen.
@0xefd3b9a01daf4f21;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("headrace::schemas::wire");

struct PullSection {
  protocol @0 :UInt16;
  schemaVersion @1 :UInt32;
  epoch @2 :UInt64;
  shard @3 :UInt32;
  atLeast @4 :UInt64;        # lsn that must be applied already
  blocks @5 :List(PullBlock);
}

struct PullBlock {
  table @0 :UInt32;
  rows @1 :UInt32;
  valueCodec @2 :UInt16;     # schemas::value_codec wanted in the reply
  keyCodec @3 :UInt16;       # schemas::key_codec
  keys @4 :Data;             # raw: rows × u64
}

struct PullReply {
  protocol @0 :UInt16;
  status @1 :UInt16;         # errc
  shard @2 :UInt32;
  detail @3 :Text;
  epoch @4 :UInt64;
  lsn @5 :UInt64;
  version @6 :UInt64;
  blocks @7 :List(PulledBlock);
}

struct PulledBlock {
  table @0 :UInt32;
  dim @1 :UInt32;
  rows @2 :UInt32;
  valueCodec @3 :UInt16;     # schemas::value_codec
  values @4 :Data;           # fp32: rows × dim × f32; int8: rows × dim × i8
  scales @5 :Data;           # int8: rows × fp16 bits
  absent @6 :Data;           # one bit a row: bit i % 8 of byte i / 8
}
