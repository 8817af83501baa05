#pragma once

#include "worker/ingest/feed_support.hpp"

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <nats/nats.h>
#include <string>
#include <string_view>

/// libnats' objects with owners, a connection, and how it words things.
namespace headrace::worker {

using nats_settings = std::unique_ptr<natsOptions, freed_by<natsOptions_Destroy>>;
using nats_connection = std::unique_ptr<natsConnection, freed_by<natsConnection_Destroy>>;
using nats_jetstream = std::unique_ptr<jsCtx, freed_by<jsCtx_Destroy>>;
using nats_subscription = std::unique_ptr<natsSubscription, freed_by<natsSubscription_Destroy>>;
using nats_message = std::unique_ptr<natsMsg, freed_by<natsMsg_Destroy>>;
using stream_info = std::unique_ptr<jsStreamInfo, freed_by<jsStreamInfo_Destroy>>;
using consumer_info = std::unique_ptr<jsConsumerInfo, freed_by<jsConsumerInfo_Destroy>>;
using message_facts = std::unique_ptr<jsMsgMetaData, freed_by<jsMsgMetaData_Destroy>>;

/// Of a connection: everything that goes with it.
struct connection_parts {
  nats_connection connection;
  nats_jetstream stream;
  nats_subscription consumer;
};

/// Connects to one of the endpoints of `spec`, once: who loses the connection begins anew. Waits up
/// to `ask_ms`, as for each later answer. What there is at a failure stays in `into`.
natsStatus connect(const feed_spec& spec, std::int64_t ask_ms, connection_parts& into);

/// Of what failed last on this thread.
std::string words_of(natsStatus status);
/// The first of these headers that `message` has, else "".
const char* header_of(natsMsg* message, std::initializer_list<const char*> names);
/// Of a fetch that got nothing: other than that nothing came, or that the connection is gone.
bool is_refusal(natsStatus status);
/// Whether a stream or consumer of `pattern` ("*": any one word, ">": any words to the end) takes
/// what is sent to `subject`.
bool takes_subject(std::string_view pattern, std::string_view subject);

}  // namespace headrace::worker
