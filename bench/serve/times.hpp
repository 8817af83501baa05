#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::bench {

/// A probe event: when it was sent, and when its producer knew that it was accepted.
struct probe_event {
  std::uint64_t sent_ns = 0;      // steady
  std::uint64_t accepted_ns = 0;  // steady
  std::uint64_t accepted_ms = 0;  // wall clock, of the same moment
};

/// An answered prediction: when the answer was there, and through when every event is in it.
struct stamped_answer {
  std::uint64_t at_ns = 0;  // steady
  std::uint64_t at_ms = 0;  // wall clock
  std::uint64_t applied_through_ms = 0;
};

/// What a client of `bench freshness` saw.
struct freshness_figures {
  std::uint64_t probes = 0;
  std::uint64_t missing = 0;  // that were in no answer
  double p50_seconds = 0;     // from accepted to the first answer that has it
  double p99_seconds = 0;
  double max_seconds = 0;
  double sent_p50_seconds = 0;  // the same from sent
  double sent_p99_seconds = 0;
  double age_p50_seconds = 0;  // of all answers: how far behind the clock they were
  double age_p99_seconds = 0;
  std::uint64_t answers = 0;
  std::uint64_t went_back = 0;  // answers whose version or stamp was lower than one before
  double predict_p50_ms = 0;    // of the answers
  double predict_p99_ms = 0;
  std::uint64_t samples = 0;      // accepted while probes were sent
  double samples_per_second = 0;  // learned meanwhile
  std::uint64_t backlog_end = 0;  // accepted and not yet learned at the end of the load
  std::uint64_t refused = 0;      // events of the load, those sent again too
  friend bool operator==(const freshness_figures&, const freshness_figures&) = default;
};

/// `answers` in the order in which they came. A probe is in the first whose stamp is behind the
/// millisecond in which it was accepted.
void add_freshness(const std::vector<probe_event>& probes,
                   const std::vector<stamped_answer>& answers,
                   freshness_figures& into);

std::string to_line(const freshness_figures& figures);
result<freshness_figures> parse_freshness_figures(std::string_view line);

}  // namespace headrace::bench
