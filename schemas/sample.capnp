# A sealed batch: what the sample log keeps. docs/wire-format.md has the rules; field numbers are frozen.
@0xdd54c6d08a44b4eb;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("headrace::schemas::wire");

using Push = import "push.capnp";

struct SampleBatch {
  protocol @0 :UInt16;
  last @1 :Bool;
  schemaVersion @2 :UInt32;
  source @3 :Push.Source;
  batch @4 :UInt64;
  prev @5 :UInt64;
  offsetEnd @6 :UInt64;
  eventTimeMinMs @7 :UInt64;
  eventTimeMaxMs @8 :UInt64;
  acceptedMs @9 :UInt64;
  samples @10 :UInt32;
  features @11 :UInt32;
  labels @12 :Data;          # samples × (1 + moreLabels) × f32, sample-major
  rowNumbers @13 :Data;      # samples × u64
  keys @14 :Data;            # samples × features × u64, sample-major
  values @15 :Data;          # samples × features × f32, or empty when all are 1
  moreLabels @16 :UInt32;    # labels of a sample behind the first
  sequences @17 :UInt32;     # features of a sample that are lists of keys, oldest first
  lengths @18 :Data;         # samples × sequences × u16, sample-major
  sequenceKeys @19 :Data;    # Σ lengths × u64, list after list
  history @20 :UInt32;       # so many samples, the last ones, are learned again
  acceptedSpanMs @21 :UInt32;  # from acceptedMs until the newest sample was accepted
}
