#include "cli/telemetry/live_series.hpp"

#include "schemas/event.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>

namespace headrace::cli {
namespace {

using schemas::event_fault;

// What an event can be refused for: each has its series from the start.
constexpr std::array faults{event_fault::malformed,
                            event_fault::too_large,
                            event_fault::missing_field,
                            event_fault::wrong_type,
                            event_fault::not_finite,
                            event_fault::bad_time,
                            event_fault::no_id,
                            event_fault::no_key,
                            event_fault::unknown_action,
                            event_fault::wrong_schema};

void say_taken(const worker::event_intake::counters& taken, metrics_page& page) {
  page.count("headrace_event_batches_total", "Batches of events that were taken.", taken.batches);
  page.count("headrace_event_bytes_total", "Bytes of the batches that were taken.", taken.bytes);
  page.count("headrace_events_accepted_total", "Events in the log.", taken.events.accepted);
  page.count("headrace_events_duplicate_total", "Events known before.", taken.events.duplicates);
  for (const event_fault fault : faults) {
    page.count("headrace_events_refused_total",
               "Events that were refused, by fault.",
               taken.events.refused[static_cast<std::size_t>(fault)],
               {{"fault", std::string(schemas::name(fault))}});
  }
  const auto refused = [&page](const char* reason, std::uint64_t count) {
    page.count("headrace_event_batches_refused_total",
               "Batches that were refused as a whole, by reason.",
               count,
               {{"reason", reason}});
  };
  refused("malformed", taken.malformed);
  refused("overloaded", taken.overloaded + taken.producers.overloaded);
  refused("unauthorized", taken.producers.unauthorized);
  refused("quarantined", taken.producers.quarantined);
  refused("failed", taken.failed);
  page.measure("headrace_event_log_unread_bytes",
               "Logged and not yet read by training.",
               taken.unread_bytes);
}

void say_joined(const worker::join_figures& joined, metrics_page& page) {
  const auto& counted = joined.count;
  page.count("headrace_join_impressions_total", "Impressions that came.", counted.impressions);
  const auto actions = [&page](const char* outcome, std::uint64_t count) {
    page.count(
        "headrace_join_actions_total", "Actions, by what they met.", count, {{"outcome", outcome}});
  };
  actions("matched", counted.matched);
  actions("correcting", counted.correcting);
  actions("repeated", counted.repeated_actions);
  actions("expired", counted.expired_actions);
  const auto samples = [&page](const char* kind, std::uint64_t count) {
    page.count(
        "headrace_join_samples_total", "Samples that were made, by kind.", count, {{"kind", kind}});
  };
  samples("positive", counted.positives);
  samples("negative", counted.negatives);
  samples("left_out", counted.left_out);
  samples("correction", counted.corrections);
  page.count(
      "headrace_join_late_events_total", "Events behind the watermark.", counted.late_events);
  page.count("headrace_join_repeated_total", "Impressions of a known key.", counted.repeated);
  page.count("headrace_join_closed_early_total",
             "Impressions closed for want of room.",
             counted.closed_early);
  page.count("headrace_join_forgotten_early_total",
             "Keys forgotten for want of room.",
             counted.forgotten_early);
  page.measure("headrace_join_watermark_timestamp_seconds",
               "Event time before which no more events are expected.",
               static_cast<double>(joined.watermark_ms) / 1'000);
  page.measure("headrace_join_pending",
               "Impressions, lone actions and keys that are remembered.",
               joined.pending);
  page.measure("headrace_join_payload_bytes", "Payloads in memory.", joined.payload_bytes);
  page.measure("headrace_join_spilled", "Payloads in the spill store.", joined.spilled);
}

void say_impressions(const worker::impression_figures& kept, metrics_page& page) {
  page.count("headrace_window_impressions_forgotten_total",
             "Impressions whose columns were forgotten for want of room.",
             kept.forgotten);
  page.measure("headrace_window_impressions",
               "Impressions whose columns are kept for their actions.",
               kept.kept);
  page.measure("headrace_window_impression_bytes", "Of the impressions that are kept.", kept.bytes);
}

void say_windows(const worker::windows_figures& windows, metrics_page& page) {
  if (windows.impressions) say_impressions(*windows.impressions, page);
  for (const worker::window_figures& each : windows.each) {
    const metric_labels labels{{"window", each.name}};
    const auto events = [&](const char* fate, std::uint64_t count) {
      page.count("headrace_window_events_total",
                 "Events of sliding windows, by what became of them.",
                 count,
                 {{"window", each.name}, {"fate", fate}});
    };
    events("counted", each.count.added);
    events("late", each.count.late);
    events("lacking", each.lacking);
    events("overflowed", each.count.overflowed);
    events("forgotten", each.count.forgotten_events);
    page.count("headrace_window_keys_forgotten_total",
               "Keys of sliding windows that were forgotten for want of room.",
               each.count.forgotten,
               labels);
    page.measure("headrace_window_keys", "Keys that a sliding window knows.", each.keys, labels);
    page.measure(
        "headrace_window_events", "Events that a sliding window holds.", each.events, labels);
  }
}

void say_texts(const worker::texts_figures& texts, metrics_page& page) {
  page.count(
      "headrace_texts_taken_total", "Events whose texts are learned from.", texts.count.taken);
  for (std::size_t why = 0; why < worker::text_faults; ++why) {
    page.count("headrace_texts_refused_total",
               "Events that were left out for a text of theirs, by reason.",
               texts.count.refused[why],
               {{"reason", std::string(worker::name(static_cast<worker::text_fault>(why)))}});
  }
  page.measure("headrace_texts_known", "Texts that near ones are told by.", texts.known);
}

void say_fetched(const actors::feed_front::figures& fetched, metrics_page& page) {
  page.measure(
      "headrace_source_connected", "1 while the broker is there.", fetched.broker.connected);
  page.count("headrace_source_reconnects_total",
             "Connections to the broker made again.",
             fetched.broker.reconnects);
  page.count("headrace_source_messages_total",
             "Messages of the broker that were read.",
             fetched.read.messages);
  page.count("headrace_source_messages_missing_total",
             "Messages the broker no longer had when they were wanted.",
             fetched.broker.missing);
  const auto dead = [&page](const char* outcome, std::uint64_t count) {
    page.count("headrace_source_dead_letters_total",
               "Messages that could not be read, by what became of them.",
               count,
               {{"outcome", outcome}});
  };
  dead("lost", fetched.broker.dead_letters_lost);
  dead("written",
       fetched.broker.dead_letters -
           std::min(fetched.broker.dead_letters, fetched.broker.dead_letters_lost));
  std::uint64_t behind = 0;
  for (const auto& [partition, messages] : fetched.broker.lag) behind += messages;
  page.measure("headrace_source_lag_events",
               "Messages of the broker not read yet, all partitions together.",
               behind);
}

void say_asked(const actors::http_server::counters& asked, metrics_page& page) {
  page.count("headrace_http_requests_total", "Requests handed to a handler.", asked.requests);
  page.count("headrace_http_refused_total",
             "Requests and connections refused before that.",
             asked.refused);
  page.count("headrace_http_timed_out_total",
             "Connections closed, or requests given up, at a deadline.",
             asked.timed_out);
  page.measure("headrace_http_connections", "Connections that are open.", asked.open);
}

}  // namespace

void say_events(const live_figures& now, metrics_page& page) {
  say_taken(now.taken, page);
  page.measure("headrace_event_log_unread_max_bytes",
               "Beyond so many unread bytes batches are told to come again.",
               now.unread_bytes_max);
  if (now.joined) {
    say_joined(*now.joined, page);
    page.measure("headrace_join_pending_max", "Entries that there is room for.", now.pending_max);
  }
  say_windows(now.windows, page);
  if (now.texts) say_texts(*now.texts, page);
  if (now.fetched) say_fetched(*now.fetched, page);
  if (now.asked) say_asked(*now.asked, page);
}

}  // namespace headrace::cli
