#pragma once

#include "base/freed_by.hpp"
#include "storage/engines/broker_login.hpp"

#include <cstdint>
#include <memory>
#include <nats/nats.h>
#include <string>

/// libnats' objects with owners, a connection, and how it words things.
namespace headrace::storage {

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

/// Connects to one of the endpoints of `login`, once: who loses the connection begins anew. Waits
/// up to `ask_ms`, as for each later answer. What there is at a failure stays in `into`.
natsStatus connect(const broker_login& login, std::int64_t ask_ms, connection_parts& into);

/// Of what failed last on this thread.
std::string words_of(natsStatus status);

}  // namespace headrace::storage
