#include "bench/available/times.hpp"

#include "base/parse_number.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <utility>

namespace headrace::bench {
namespace {

using numbers = std::vector<std::uint64_t>;

std::string line_of(const numbers& values) {
  std::string line;
  for (const auto value : values) line += (line.empty() ? "" : " ") + std::to_string(value);
  return line;
}

std::optional<numbers> numbers_of(std::string_view line) {
  numbers found;
  while (!line.empty()) {
    const auto end = std::min(line.find(' '), line.size());
    const auto number = parse_number<std::uint64_t>(line.substr(0, end));
    if (!number) return std::nullopt;
    found.push_back(*number);
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return found;
}

error no_result(const char* who) {
  return {errc::malformed, std::string("the ") + who + " ended without a result"};
}

/// Delays that many samples have each.
class delays {
 public:
  void add(std::uint64_t from_ns, std::uint64_t to_ns, std::uint64_t samples) {
    each_.emplace_back(to_ns > from_ns ? to_ns - from_ns : 0, samples);
    total_ += samples;
  }
  delay_figures figures() {
    if (each_.empty()) return {};
    std::sort(each_.begin(), each_.end());
    return {quantile_ms(0.5), quantile_ms(0.99), quantile_ms(0.999), quantile_ms(1)};
  }

 private:
  double quantile_ms(double share) const {
    const auto wanted = share * static_cast<double>(total_);
    std::uint64_t within = 0;
    for (const auto& [ns, samples] : each_) {
      within += samples;
      if (static_cast<double>(within) >= wanted) return static_cast<double>(ns) / 1e6;
    }
    return static_cast<double>(each_.back().first) / 1e6;
  }
  std::vector<std::pair<std::uint64_t, std::uint64_t>> each_;
  std::uint64_t total_ = 0;
};

double a_second(std::uint64_t events, std::uint64_t begin_ns, std::uint64_t end_ns) {
  return end_ns > begin_ns ? static_cast<double>(events) * 1e9 / double(end_ns - begin_ns) : 0;
}

}  // namespace

std::string to_line(const sent_pushes& sent) {
  return line_of({sent.begin_ns,
                  sent.end_ns,
                  sent.accepted,
                  sent.refused,
                  sent.sent_again,
                  sent.processor_us});
}

result<sent_pushes> parse_sent_pushes(std::string_view line) {
  const auto read = numbers_of(line);
  if (!read || read->size() != 6) return no_result("client");
  const numbers& n = *read;
  return sent_pushes{n[0], n[1], n[2], n[3], n[4], n[5]};
}

std::string to_line(const seen_samples& seen) {
  numbers all = {seen.processor_us, seen.status_ms_p50, seen.status_ms_p99, seen.arrived_ns.size()};
  all.insert(all.end(), seen.arrived_ns.begin(), seen.arrived_ns.end());
  for (const auto& batch : seen.batches) {
    all.push_back(batch.through);
    all.push_back(batch.at_ns);
  }
  return line_of(all);
}

result<seen_samples> parse_seen_samples(std::string_view line) {
  const auto read = numbers_of(line);
  if (!read || read->size() < 4) return no_result("server");
  const numbers& n = *read;
  const std::uint64_t pushes = n[3];
  if (pushes > n.size() - 4 || (n.size() - 4 - pushes) % 2 != 0) return no_result("server");
  seen_samples seen;
  seen.processor_us = n[0];
  seen.status_ms_p50 = n[1];
  seen.status_ms_p99 = n[2];
  const auto behind = n.begin() + 4 + static_cast<std::ptrdiff_t>(pushes);
  seen.arrived_ns.assign(n.begin() + 4, behind);
  for (auto at = behind; at != n.end(); at += 2) seen.batches.push_back({at[0], at[1]});
  return seen;
}

result<available_round> to_round(const available_options& options,
                                 const sent_pushes& sent,
                                 const seen_samples& seen) {
  const std::uint64_t events = options.events();
  const std::uint64_t samples = options.pushes() * options.samples_of_push();
  const std::uint64_t made = seen.batches.empty() ? 0 : seen.batches.back().through;
  if (sent.accepted != events || sent.refused != 0 || sent.sent_again != 0 ||
      seen.arrived_ns.size() != options.pushes() || made != samples) {
    return error{errc::unavailable,
                 "of " + std::to_string(events) + " events " + std::to_string(sent.accepted) +
                     " were taken and " + std::to_string(sent.refused) + " refused, " +
                     std::to_string(sent.sent_again) + " pushes were sent again, and of " +
                     std::to_string(samples) + " samples " + std::to_string(made) +
                     " came to the worker: no delays follow from that"};
  }
  delays from_intake;
  delays from_schedule;
  std::uint64_t sample = 0;
  for (const auto& batch : seen.batches) {
    while (sample < batch.through) {
      const std::uint64_t push = sample / options.samples_of_push();
      const std::uint64_t end = std::min(batch.through, (push + 1) * options.samples_of_push());
      from_intake.add(seen.arrived_ns[push], batch.at_ns, end - sample);
      from_schedule.add(sent.begin_ns + options.due_ns(push), batch.at_ns, end - sample);
      sample = end;
    }
  }
  available_round round;
  round.offered_events_per_second =
      a_second(events,
               sent.begin_ns,
               std::max(sent.end_ns, sent.begin_ns + options.due_ns(options.pushes())));
  round.events_per_second = a_second(
      events,
      sent.begin_ns,
      std::max(seen.batches.back().at_ns, sent.begin_ns + options.due_ns(options.pushes())));
  round.samples = samples;
  round.from_intake = from_intake.figures();
  round.from_schedule = from_schedule.figures();
  round.status_ms_p50 = static_cast<double>(seen.status_ms_p50);
  round.status_ms_p99 = static_cast<double>(seen.status_ms_p99);
  round.server_us_per_event = static_cast<double>(seen.processor_us) / double(events);
  round.client_us_per_event = static_cast<double>(sent.processor_us) / double(events);
  return round;
}

}  // namespace headrace::bench
