# Events as producers push them and the event log keeps them. docs/wire-format.md has the rules; field numbers are frozen.
@0xb6a1f0c4d52e7a93;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("headrace::schemas::wire");

struct EventPush {
  protocol @0 :UInt16;
  token @1 :Text;            # never in the log
  batch @2 :Data;            # an EventBatch, as a flat message of its own
}

struct EventBatch {
  protocol @0 :UInt16;
  schemaVersion @1 :UInt32;
  producer @2 :Text;         # who pushes: for rates, quarantine and logs
  partition @3 :Text;        # of a broker, such as clicks/3; empty for pushes
  offsetEnd @4 :UInt64;      # of that partition: where to go on behind this batch
  names @5 :List(Text);      # of columns and actions, each once
  events @6 :List(Event);
}

struct Event {
  id @0 :Text;               # the producer's own; two events with one id are one event
  key @1 :Text;              # joins an impression and its actions
  timeMs @2 :UInt64;         # when it happened, since 1970 UTC
  kind @3 :UInt8;            # schemas::event_kind
  action @4 :UInt16;         # of an action: place in names
  fields @5 :List(Field);
}

struct Field {
  name @0 :UInt16;           # place in names
  union {
    text @1 :Text;
    texts @2 :List(Text);
    number @3 :Float64;
    integer @4 :Int64;
  }
}

struct EventAck {
  protocol @0 :UInt16;
  status @1 :UInt16;         # errc
  detail @2 :Text;
  accepted @3 :UInt32;       # in the log now, with the log mode's durability
  duplicates @4 :UInt32;     # were there before
  refused @5 :UInt32;
  refusals @6 :List(Refusal);# the first of them
  retryAfterMs @7 :UInt32;   # with `overloaded`
}

struct Refusal {
  event @0 :UInt32;          # place in the batch
  fault @1 :UInt16;          # schemas::event_fault
  detail @2 :Text;           # names the field
}
