#include "worker/events/producer_policy.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace headrace::worker {
namespace {

constexpr double retry_ms_max = 60'000.0;
constexpr std::size_t why_bytes_max = 200;

}  // namespace

bool is_same_secret(std::string_view given, std::string_view secret) {
  if (secret.empty()) return given.empty();
  volatile unsigned char different = given.size() == secret.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i) {
    different = static_cast<unsigned char>(different |
                                           (static_cast<unsigned char>(given[i]) ^
                                            static_cast<unsigned char>(secret[i % secret.size()])));
  }
  return different == 0;
}

producer_policy::producer_policy(settings how) : how_(std::move(how)) {
  CHECK(how_.producers_max >= 1);
  CHECK(how_.window_ms >= slices);
  for (const producer_token& each : how_.tokens) CHECK(!each.token.empty());
}

// Looks at all of them, so that the time doesn't say which one fits.
bool producer_policy::knows(std::string_view producer, std::string_view token) const {
  bool known = how_.tokens.empty();
  for (const producer_token& each : how_.tokens) {
    const bool same = is_same_secret(token, each.token);
    known = known || (same && (each.producer.empty() || each.producer == producer));
  }
  return known;
}

producer_policy::answer producer_policy::admit(std::string_view producer,
                                               std::string_view token,
                                               std::uint64_t bytes,
                                               std::uint64_t now_ms) {
  if (!knows(producer, token)) {
    ++count_.unauthorized;
    return {errc::unauthorized, "a token that this job knows is needed"};
  }
  auto& from = find(producer, now_ms);
  if (!from.state.quarantined.empty()) {
    ++count_.quarantined;
    return {errc::quarantined, from.state.quarantined};
  }
  if (how_.events_per_second > 0 && from.event_room <= 0.0)
    return overloaded(from.event_room, how_.events_per_second, "events");
  if (how_.bytes_per_second > 0 && from.byte_room <= 0.0)
    return overloaded(from.byte_room, how_.bytes_per_second, "bytes");
  from.byte_room -= static_cast<double>(bytes);
  return {};
}

producer_policy::answer producer_policy::overloaded(double room,
                                                    std::uint64_t per_second,
                                                    std::string_view what) {
  ++count_.overloaded;
  const double wait_ms = -room * 1'000.0 / static_cast<double>(per_second);
  return {errc::overloaded,
          "more than " + std::to_string(per_second) + " " + std::string(what) +
              " a second of one producer",
          static_cast<std::uint32_t>(std::min(retry_ms_max, std::floor(wait_ms) + 1.0))};
}

producer_policy::known_producer& producer_policy::find(std::string_view name,
                                                       std::uint64_t now_ms) {
  auto at = producers_.find(name);
  if (at == producers_.end()) {
    if (producers_.size() >= how_.producers_max) forget_one();
    at = producers_.emplace(std::string(name), known_producer{}).first;
    at->second.state.name = at->first;
    at->second.state.last_ms = now_ms;
    at->second.event_room = static_cast<double>(how_.events_per_second);
    at->second.byte_room = static_cast<double>(how_.bytes_per_second);
  }
  refill(at->second, now_ms);
  return at->second;
}

void producer_policy::forget_one() {
  const auto kept_longer = [](const auto& a, const auto& b) {
    const auto rank = [](const producer_state& of) {
      return std::pair(!of.quarantined.empty(), of.last_ms);
    };
    return rank(a.second.state) < rank(b.second.state);
  };
  producers_.erase(std::min_element(producers_.begin(), producers_.end(), kept_longer));
  ++count_.forgotten;
}

void producer_policy::refill(known_producer& of, std::uint64_t now_ms) const {
  if (now_ms <= of.state.last_ms) return;
  const double seconds = static_cast<double>(now_ms - of.state.last_ms) / 1'000.0;
  const auto fill = [&](double& room, std::uint64_t per_second) {
    const auto rate = static_cast<double>(per_second);
    room = std::min(rate, room + rate * seconds);
  };
  fill(of.event_room, how_.events_per_second);
  fill(of.byte_room, how_.bytes_per_second);
  of.state.last_ms = now_ms;
}

void producer_policy::judged(std::string_view producer,
                             std::uint64_t events,
                             std::uint64_t bad,
                             std::string_view why,
                             std::uint64_t now_ms) {
  CHECK(bad <= events);
  auto& from = find(producer, now_ms);
  from.event_room -= static_cast<double>(events);
  from.state.events += events;
  from.state.bad += bad;
  const std::uint64_t number = from.state.last_ms / (how_.window_ms / slices);
  slice& newest = from.window[number % slices];
  if (newest.number != number) newest = {number, 0, 0};
  newest.events += events;
  newest.bad += bad;
  if (bad > 0 && how_.quarantine_share > 0.0) judge_window(from, why, from.state.last_ms);
}

void producer_policy::judge_window(known_producer& of, std::string_view why, std::uint64_t now_ms) {
  if (!of.state.quarantined.empty()) return;
  const std::uint64_t number = now_ms / (how_.window_ms / slices);
  std::uint64_t events = 0;
  std::uint64_t bad = 0;
  for (const slice& each : of.window) {
    if (each.number + slices <= number) continue;
    events += each.events;
    bad += each.bad;
  }
  const double share = how_.quarantine_share * static_cast<double>(events);
  if (events < how_.quarantine_events || static_cast<double>(bad) < share) return;
  of.state.quarantined = std::to_string(bad) + " of " + std::to_string(events) + " events in " +
                         std::to_string(how_.window_ms / 1'000) +
                         " s were refused, the last: " + std::string(why.substr(0, why_bytes_max));
}

bool producer_policy::release(std::string_view producer) {
  const auto at = producers_.find(producer);
  if (at == producers_.end() || at->second.state.quarantined.empty()) return false;
  at->second.state.quarantined.clear();
  at->second.window = {};
  return true;
}

std::vector<producer_policy::producer_state> producer_policy::producers() const {
  std::vector<producer_state> states;
  for (const auto& [name, each] : producers_) states.push_back(each.state);
  return states;
}

}  // namespace headrace::worker
