#pragma once

#include "base/result.hpp"
#include "storage/engines/broker_login.hpp"
#include "storage/engines/message_stream.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace headrace::storage {

/// A NATS JetStream stream that has messages of one log and nothing else; positions are its
/// sequences. Made where it is not there: of one subject, which has its name, in a file, with one
/// replica, discarding what is new when it is full. Make it beforehand for more replicas or a
/// bound.
///
/// Each append carries the header Nats-Expected-Last-Sequence, so that of several writers one has
/// the position. What was acknowledged survives a server that is killed. A server syncs its files
/// every two minutes: a power cut of the only replica may take more, and then the stream ends
/// before what was acknowledged, which is `corrupt`.
struct jetstream_options {
  broker_login login;
  std::string stream;
  bool read_only = false;             // makes no stream: not_found where there is none
  std::int64_t patience_ms = 10'000;  // of each call
};
/// Fails: unavailable, not_found, bad_config (the stream would lose or gain messages by itself, or
/// its name is none), corrupt (messages are missing in it), io_error.
result<std::unique_ptr<message_stream>> open_jetstream_stream(const jetstream_options& how);

}  // namespace headrace::storage
