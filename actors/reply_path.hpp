#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "schemas/wire.hpp"

#include <cstdint>
#include <memory>

namespace headrace::actors {

class peer_credit;

/// Where the answer to one section goes: the peer, its request, and the section's place in it.
struct reply_ticket {
  frame peer;
  std::uint64_t request_id = 0;
  std::uint32_t section = 0;
  std::shared_ptr<peer_credit> credit = nullptr;  // the answer's bytes count there until sent
};

/// Takes answers back to whoever asked. Any thread may call it; it never blocks. An answer for a
/// peer that is gone is counted and dropped: the peer asks again when it returns.
class reply_path {
 public:
  virtual ~reply_path() = default;
  virtual void reply(const reply_ticket& to,
                     schemas::message_kind kind,
                     shard_id from,
                     frame section) = 0;
};

/// One section of a request on its way to the shard it is for.
struct section_job {
  schemas::message_kind kind = schemas::message_kind::push;
  shard_id shard;
  frame section;
  reply_ticket ticket;
  std::shared_ptr<reply_path> path;
  std::shared_ptr<const void> room = nullptr;  // its request's part of the peer's credit

  void answer(frame reply) const { path->reply(ticket, kind, shard, std::move(reply)); }
};

}  // namespace headrace::actors
