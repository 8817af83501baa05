#pragma once

#include "base/result.hpp"
#include "bench/available/options.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// What the processes of `headrace bench available` report, and what follows from it. Times are
/// nanoseconds of the monotonic clock, which processes share.
namespace headrace::bench {

/// The client's part of a round.
struct sent_pushes {
  std::uint64_t begin_ns = 0;  // when the first push was due
  std::uint64_t end_ns = 0;    // when the last one was handed to the socket
  std::uint64_t accepted = 0;  // events
  std::uint64_t refused = 0;   // events refused or taken for duplicates
  std::uint64_t sent_again = 0;
  std::uint64_t processor_us = 0;
  friend bool operator==(const sent_pushes&, const sent_pushes&) = default;
};
std::string to_line(const sent_pushes& sent);
result<sent_pushes> parse_sent_pushes(std::string_view line);

/// The server's.
struct seen_samples {
  struct sealed {
    std::uint64_t through = 0;  // samples so far, those of the batch included
    std::uint64_t at_ns = 0;    // the batch was in the log and with the worker
    friend bool operator==(const sealed&, const sealed&) = default;
  };
  std::vector<std::uint64_t> arrived_ns;  // [pushes] when the intake was offered each
  std::vector<sealed> batches;
  std::uint64_t processor_us = 0;
  std::uint64_t status_ms_p50 = 0;  // as /v1/status says: available_ms_p50
  std::uint64_t status_ms_p99 = 0;
  friend bool operator==(const seen_samples&, const seen_samples&) = default;
};
std::string to_line(const seen_samples& seen);
result<seen_samples> parse_seen_samples(std::string_view line);

/// How long the samples of a round took, each of them counted.
struct delay_figures {
  double p50_ms = 0;
  double p99_ms = 0;
  double p999_ms = 0;
  double max_ms = 0;
};

struct available_round {
  double offered_events_per_second = 0;
  double events_per_second = 0;  // that were with the worker
  std::uint64_t samples = 0;
  delay_figures from_intake;    // offered to the intake → with the worker
  delay_figures from_schedule;  // due to be sent → with the worker
  double status_ms_p50 = 0;
  double status_ms_p99 = 0;
  double server_us_per_event = 0;  // of the processor
  double client_us_per_event = 0;
};
/// Sample n is of push n / samples_of_push: one client pushes, so the log has its order. Fails:
/// unavailable where events were refused, sent again or did not become samples: then nothing is
/// known.
result<available_round> to_round(const available_options& options,
                                 const sent_pushes& sent,
                                 const seen_samples& seen);

}  // namespace headrace::bench
