#pragma once

#include "storage/engines/nats_link.hpp"

#include <initializer_list>
#include <nats/nats.h>
#include <string_view>

/// What a feed of JetStream needs beside the connection.
namespace headrace::worker {

using storage::connection_parts;
using storage::consumer_info;
using storage::message_facts;
using storage::nats_message;
using storage::stream_info;
using storage::words_of;

/// The first of these headers that `message` has, else "".
const char* header_of(natsMsg* message, std::initializer_list<const char*> names);
/// Of a fetch that got nothing: other than that nothing came, or that the connection is gone.
bool is_refusal(natsStatus status);
/// Whether a stream or consumer of `pattern` ("*": any one word, ">": any words to the end) takes
/// what is sent to `subject`.
bool takes_subject(std::string_view pattern, std::string_view subject);

}  // namespace headrace::worker
