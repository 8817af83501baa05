# What a shard changed, for those who serve its rows. docs/deltas.md has the rules; field numbers are frozen.
@0xb7c1f0d25e9a4413;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("headrace::schemas::wire");

struct Delta {
  checksum @0 :UInt64;       # the first word of the struct: of every other byte of the frame
  protocol @1 :UInt16;
  format @2 :UInt16;         # schemas::delta_format
  shard @3 :UInt32;
  epoch @4 :UInt64;
  schemaVersion @5 :UInt32;
  whole @6 :Bool;            # every row that was there when the session began has been sent
  session @7 :UInt64;
  number @8 :UInt64;         # 1, 2, 3 … of the session
  follows @9 :UInt64;        # whoever has everything through that number can take it
  lsn @10 :UInt64;           # every change through it has been sent
  version @11 :UInt64;       # of the shard at that lsn
  acceptedMs @12 :UInt64;    # every event accepted before it is in that version
  headVersion @13 :UInt64;   # of the shard when the delta was built
  blocks @14 :List(DeltaBlock);
}

struct DeltaBlock {
  table @0 :UInt32;
  dim @1 :UInt32;
  rows @2 :UInt32;
  gone @3 :UInt32;           # rows that are no more
  valueCodec @4 :UInt16;     # schemas::value_codec
  keys @5 :Data;             # packed: schemas/packed_numbers.hpp
  scales @6 :Data;           # int8: rows × fp16 bits
  values @7 :Data;           # rows × dim in the codec
  goneKeys @8 :Data;         # packed
}
