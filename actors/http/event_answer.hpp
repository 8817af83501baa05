#pragma once

#include "actors/http/http_server.hpp"
#include "schemas/event.hpp"

#include <vector>

namespace headrace::actors {

/// What a producer is told over HTTP of a batch (docs/http.md, "Answers to events").
///
/// `unread` are the events that were refused before the batch was made, by their place in the text,
/// ascending; the places of `ack` are moved behind them, so that all count in the text.
http_answer answer_of(schemas::event_ack ack, std::vector<schemas::event_refusal> unread = {});

/// The answer to a request that is refused whole.
http_answer answer_of(const error& failure, std::uint32_t retry_after_ms = 0);

/// 400 for malformed, 401 for unauthorized, 429 for overloaded …
unsigned http_status_of(errc code);

}  // namespace headrace::actors
