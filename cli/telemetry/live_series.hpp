#pragma once

#include "actors/feed_front.hpp"
#include "actors/http/http_server.hpp"
#include "cli/telemetry/job_metrics.hpp"
#include "worker/events/event_intake.hpp"
#include "worker/events/join_board.hpp"
#include "worker/events/text_board.hpp"
#include "worker/events/window_board.hpp"

#include <cstdint>
#include <optional>

namespace headrace::cli {

/// What a live job has taken, refused and joined, at one moment.
struct live_figures {
  worker::event_intake::counters taken;
  std::uint64_t unread_bytes_max = 0;          // beyond it batches are told to come again
  std::optional<worker::join_figures> joined;  // of a job that joins
  std::uint64_t pending_max = 0;               // of it
  worker::windows_figures windows = {};
  std::optional<worker::texts_figures> texts = {};          // of a job that judges them
  std::optional<actors::feed_front::figures> fetched = {};  // of a job that a broker feeds
  std::optional<actors::http_server::counters> asked = {};  // where it answers HTTP
};

/// The series of a process that takes live events.
void say_events(const live_figures& now, metrics_page& page);

}  // namespace headrace::cli
