#pragma once

#include "actors/reply_path.hpp"
#include "base/frame.hpp"
#include "schemas/sample.hpp"
#include "schemas/wire.hpp"
#include "storage/ordered_log.hpp"

#include <caf/allowed_unsafe_message_type.hpp>
#include <caf/atom.hpp>
#include <caf/type_id.hpp>

#include <cstdint>
#include <functional>
#include <memory>

namespace headrace::ps {
class durable_shard;
}

/// What travels between actors of one process. Bulk data goes by shared pointer and never leaves
/// the process through CAF (its serializer hangs on an infinite float: docs/adr/0002).
namespace headrace::actors {

using section_job_ptr = std::shared_ptr<const section_job>;
using done_ptr = std::shared_ptr<const std::function<void()>>;
using visit_ptr = std::shared_ptr<const std::function<void(ps::durable_shard&)>>;
using outcome_ptr = std::shared_ptr<const storage::append_outcome>;
using sample_batch_ptr = std::shared_ptr<const schemas::sample_batch>;

/// One answered section, as the link received it.
struct answered_section {
  schemas::envelope head;
  frame section;
};
using answer_ptr = std::shared_ptr<const answered_section>;

}  // namespace headrace::actors

CAF_ALLOW_UNSAFE_MESSAGE_TYPE(headrace::actors::section_job_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(headrace::actors::done_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(headrace::actors::visit_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(headrace::actors::outcome_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(headrace::actors::sample_batch_ptr)
CAF_ALLOW_UNSAFE_MESSAGE_TYPE(headrace::actors::answer_ptr)

CAF_BEGIN_TYPE_ID_BLOCK(headrace, caf::first_custom_type_id)
CAF_ADD_ATOM(headrace,
             headrace::actors,
             serve_atom,
             "serve")  // router → shard, samples: one section
CAF_ADD_ATOM(headrace, headrace::actors, settle_atom, "settle")  // log → shard: an append's outcome
CAF_ADD_ATOM(headrace, headrace::actors, done_atom, "done")      // I/O pool → shard: a work ended
CAF_ADD_ATOM(headrace, headrace::actors, flush_atom, "flush")    // timer → shard: write rows
CAF_ADD_ATOM(headrace, headrace::actors, follow_atom, "follow")  // timer → shard: tell followers
CAF_ADD_ATOM(headrace, headrace::actors, visit_atom, "visit")  // node → shard: a look from inside
CAF_ADD_ATOM(headrace, headrace::actors, sealed_atom, "sealed")  // ingest → worker: a sealed batch
CAF_ADD_ATOM(headrace, headrace::actors, more_atom, "more")      // worker → ingest: permits
CAF_ADD_ATOM(headrace, headrace::actors, arrived_atom, "arrived")  // event log → ingest: it grew
CAF_ADD_ATOM(headrace, headrace::actors, answer_atom, "answer")    // link → worker: one reply
CAF_ADD_ATOM(headrace, headrace::actors, tick_atom, "tick")        // timer → worker, ingest
CAF_ADD_ATOM(headrace, headrace::actors, stop_atom, "stop")  // cli → worker, ingest: drain and end
CAF_ADD_ATOM(headrace, headrace::actors, go_on_atom, "go_on")      // cli → ingest: the next pass
CAF_ADD_ATOM(headrace, headrace::actors, restart_atom, "restart")  // timer → supervisor: now
CAF_END_TYPE_ID_BLOCK(headrace)
