#include "cli/live_metrics.hpp"

#include "schemas/event.hpp"

#include <algorithm>
#include <cstddef>

namespace headrace::cli {

// Counts of elsewhere become a counter's: it grows by what came since it was last asked for.
void live_metrics::raise(const char* name,
                         const char* help,
                         std::uint64_t to,
                         const metric_labels& labels) {
  auto series = series_.counter(name, help, labels);
  series.add(std::max(0.0, static_cast<double>(to) - series.value()));
}

void live_metrics::set_taken(const worker::event_intake::counters& taken) {
  raise("headrace_event_batches_total", "Batches of events that were taken.", taken.batches);
  raise("headrace_event_bytes_total", "Bytes of the batches that were taken.", taken.bytes);
  raise("headrace_events_accepted_total", "Events in the log.", taken.events.accepted);
  raise("headrace_events_duplicate_total", "Events known before.", taken.events.duplicates);
  for (std::size_t fault = 0; fault < taken.events.refused.size(); ++fault) {
    if (taken.events.refused[fault] == 0) continue;  // not every number is a fault
    raise("headrace_events_refused_total",
          "Events that were refused, by fault.",
          taken.events.refused[fault],
          {{"fault", std::string(schemas::name(static_cast<schemas::event_fault>(fault)))}});
  }
  const auto refused = [this](const char* reason, std::uint64_t count) {
    raise("headrace_event_batches_refused_total",
          "Batches that were refused as a whole, by reason.",
          count,
          {{"reason", reason}});
  };
  refused("malformed", taken.malformed);
  refused("overloaded", taken.overloaded + taken.producers.overloaded);
  refused("unauthorized", taken.producers.unauthorized);
  refused("failed", taken.failed);
  series_.gauge("headrace_event_log_unread_bytes", "Logged and not yet read by training.")
      .set(static_cast<double>(taken.unread_bytes));
}

void live_metrics::set_joined(const worker::join_figures& joined) {
  const auto& counted = joined.count;
  raise("headrace_join_impressions_total", "Impressions that came.", counted.impressions);
  const auto actions = [this](const char* outcome, std::uint64_t count) {
    raise(
        "headrace_join_actions_total", "Actions, by what they met.", count, {{"outcome", outcome}});
  };
  actions("matched", counted.matched);
  actions("correcting", counted.correcting);
  actions("repeated", counted.repeated_actions);
  actions("expired", counted.expired_actions);
  const auto samples = [this](const char* kind, std::uint64_t count) {
    raise(
        "headrace_join_samples_total", "Samples that were made, by kind.", count, {{"kind", kind}});
  };
  samples("positive", counted.positives);
  samples("negative", counted.negatives);
  samples("left_out", counted.left_out);
  samples("correction", counted.corrections);
  raise("headrace_join_late_events_total", "Events behind the watermark.", counted.late_events);
  raise("headrace_join_repeated_total", "Impressions of a known key.", counted.repeated);
  raise("headrace_join_closed_early_total",
        "Impressions closed for want of room.",
        counted.closed_early);
  raise("headrace_join_forgotten_early_total",
        "Keys forgotten for want of room.",
        counted.forgotten_early);
  series_.gauge("headrace_join_pending", "Impressions, lone actions and keys that are remembered.")
      .set(static_cast<double>(joined.pending));
  series_.gauge("headrace_join_payload_bytes", "Payloads in memory.")
      .set(static_cast<double>(joined.payload_bytes));
  series_.gauge("headrace_join_spilled", "Payloads in the spill store.")
      .set(static_cast<double>(joined.spilled));
}

void live_metrics::set_windows(const worker::windows_figures& windows) {
  if (windows.impressions) set_impressions(*windows.impressions);
  for (const worker::window_figures& each : windows.each) {
    const metric_labels labels{{"window", each.name}};
    const auto events = [&](const char* fate, std::uint64_t count) {
      raise("headrace_window_events_total",
            "Events of sliding windows, by what became of them.",
            count,
            {{"window", each.name}, {"fate", fate}});
    };
    events("counted", each.count.added);
    events("late", each.count.late);
    events("lacking", each.lacking);
    events("overflowed", each.count.overflowed);
    events("forgotten", each.count.forgotten_events);
    raise("headrace_window_keys_forgotten_total",
          "Keys of sliding windows that were forgotten for want of room.",
          each.count.forgotten,
          labels);
    series_.gauge("headrace_window_keys", "Keys that a sliding window knows.", labels)
        .set(static_cast<double>(each.keys));
    series_.gauge("headrace_window_events", "Events that a sliding window holds.", labels)
        .set(static_cast<double>(each.events));
  }
}

void live_metrics::set_impressions(const worker::impression_figures& kept) {
  raise("headrace_window_impressions_forgotten_total",
        "Impressions whose columns were forgotten for want of room.",
        kept.forgotten);
  series_
      .gauge("headrace_window_impressions", "Impressions whose columns are kept for their actions.")
      .set(static_cast<double>(kept.kept));
  series_.gauge("headrace_window_impression_bytes", "Of the impressions that are kept.")
      .set(static_cast<double>(kept.bytes));
}

void live_metrics::set_texts(const worker::texts_figures& texts) {
  raise("headrace_texts_taken_total", "Events whose texts are learned from.", texts.count.taken);
  for (std::size_t why = 0; why < worker::text_faults; ++why) {
    raise("headrace_texts_refused_total",
          "Events that were left out for a text of theirs, by reason.",
          texts.count.refused[why],
          {{"reason", std::string(worker::name(static_cast<worker::text_fault>(why)))}});
  }
  series_.gauge("headrace_texts_known", "Texts that near ones are told by.")
      .set(static_cast<double>(texts.known));
}

void live_metrics::set_learned(const actors::progress& learned) {
  raise("headrace_samples_learned_total",
        "Samples learned, over all runs of the state folder.",
        learned.samples);
  const auto available = [this](const char* quantile, std::uint64_t ms) {
    series_
        .gauge("headrace_event_available_seconds",
               "From accepted to training, of a batch's oldest event.",
               {{"quantile", quantile}})
        .set(static_cast<double>(ms) / 1'000);
  };
  available("0.5", learned.available_ms_p50);
  available("0.99", learned.available_ms_p99);
}

std::string live_metrics::text(const live_figures& now) {
  const std::lock_guard hold(mutex_);
  set_taken(now.taken);
  if (now.joined) set_joined(*now.joined);
  set_windows(now.windows);
  if (now.texts) set_texts(*now.texts);
  set_learned(now.learned);
  return series_.serialize();
}

}  // namespace headrace::cli
