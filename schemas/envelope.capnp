# First frame of every request and reply. docs/wire-format.md has the rules; field numbers are frozen.
@0xc1523177fa62f4ea;

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("headrace::schemas::wire");

struct Envelope {
  protocol @0 :UInt16;
  kind @1 :UInt16;           # schemas::message_kind, read as an untrusted number
  reply @2 :Bool;
  firstSection @3 :UInt32;   # replies: the request's section that the first section here answers
  requestId @4 :UInt64;
  sender @5 :Text;           # for logs, at most 64 bytes of printable ASCII
  sections @6 :List(SectionRef);
}

struct SectionRef {
  shard @0 :UInt32;
}
