#pragma once

#include "actors/http/http_server.hpp"
#include "schemas/event.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace headrace::actors {

/// Events that were refused before a batch was made of the others.
struct unread_events {
  /// The first refusals_max, by their place in the text, ascending. No more are needed: of the
  /// refusals that are told none has as many before it.
  std::vector<schemas::event_refusal> first;
  std::uint32_t count = 0;
};

/// Room that any answer here keeps to, its head included.
constexpr std::size_t event_answer_bytes_max = 4'096;

/// What a producer is told over HTTP of a batch (docs/http.md, "Answers to events"). The places of
/// `ack` are moved behind those of `unread`, so that all count in the text.
http_answer answer_of(schemas::event_ack ack, unread_events unread = {});

/// The answer to a request that is refused whole.
http_answer answer_of(const error& failure, std::uint32_t retry_after_ms = 0);

/// 400 for malformed, 401 for unauthorized, 429 for overloaded …
unsigned http_status_of(errc code);

}  // namespace headrace::actors
