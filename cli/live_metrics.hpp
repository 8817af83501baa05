#pragma once

#include "actors/progress_board.hpp"
#include "base/metrics.hpp"
#include "worker/events/event_intake.hpp"
#include "worker/events/join_board.hpp"
#include "worker/events/text_board.hpp"
#include "worker/events/window_board.hpp"

#include <mutex>
#include <optional>
#include <string>

namespace headrace::cli {

/// What a live job has taken, refused, joined and learned, at one moment.
struct live_figures {
  worker::event_intake::counters taken;
  actors::progress learned;
  std::optional<worker::join_figures> joined;  // of a job that joins
  worker::windows_figures windows = {};
  std::optional<worker::texts_figures> texts = {};  // of a job that judges them
};

/// The series of a live job (docs/metrics.md), brought up to date whenever they are asked for. Any
/// thread; the mutex guards the registry, so that two who ask at once don't add a count twice.
class live_metrics {
 public:
  std::string text(const live_figures& now);

 private:
  void raise(const char* name,
             const char* help,
             std::uint64_t to,
             const metric_labels& labels = {});
  void set_taken(const worker::event_intake::counters& taken);
  void set_joined(const worker::join_figures& joined);
  void set_windows(const worker::windows_figures& windows);
  void set_impressions(const worker::impression_figures& kept);
  void set_texts(const worker::texts_figures& texts);
  void set_learned(const actors::progress& learned);

  std::mutex mutex_;
  metrics_registry series_;
};

}  // namespace headrace::cli
