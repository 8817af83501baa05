#include "actors/http/event_answer.hpp"

#include "base/json_line.hpp"

#include <algorithm>
#include <utility>

namespace headrace::actors {
namespace {

constexpr std::size_t detail_bytes_max = 200;
constexpr std::size_t head_bytes_max = 300;
constexpr std::size_t body_bytes_max = event_answer_bytes_max - head_bytes_max;
constexpr std::size_t array_bytes = 20;  // "refusals":[] and the end of the line

std::uint32_t whole_seconds(std::uint32_t ms) { return ms / 1'000 + (ms % 1'000 != 0 ? 1 : 0); }

// Places of a batch, which lacks `unread`, become places of the text.
void move_behind(const std::vector<schemas::event_refusal>& unread,
                 std::vector<schemas::event_refusal>& refusals) {
  for (auto& each : refusals) {
    for (const auto& gone : unread) {
      if (gone.event > each.event) break;
      ++each.event;
    }
  }
}

// Escaped, a byte takes six.
std::string_view cut(std::string_view detail) { return detail.substr(0, detail_bytes_max); }

// The first ones, as far as their room goes.
void add_refusals(json_line& line, const std::vector<schemas::event_refusal>& refusals) {
  std::size_t room = body_bytes_max - line.text().size() - array_bytes;
  line.begin_array("refusals");
  for (const auto& each : refusals) {
    const std::string item = json_line()
                                 .add("event", each.event)
                                 .add("fault", schemas::name(each.fault))
                                 .add("detail", cut(each.detail))
                                 .text();
    if (item.size() + 1 > room) break;
    room -= item.size() + 1;
    line.add_raw_item(item);
  }
  line.end();
}

// What nearly every answer is: no event was refused.
std::string body_without_refusals(const schemas::event_ack& ack) {
  std::string body;
  body.reserve(80);  // so many at most
  body += "{\"accepted\":";
  body += std::to_string(ack.accepted);
  body += ",\"duplicates\":";
  body += std::to_string(ack.duplicates);
  body += ",\"refused\":0,\"refusals\":[]}\n";
  return body;
}

}  // namespace

unsigned http_status_of(errc code) {
  switch (code) {
    case errc::ok:
      return 200;
    case errc::malformed:
    case errc::bad_protocol:
    case errc::bad_input:
    case errc::stale_schema:
      return 400;
    case errc::unauthorized:
      return 401;
    case errc::quarantined:
      return 403;
    case errc::not_found:
      return 404;
    case errc::too_large:
      return 413;
    case errc::overloaded:
      return 429;
    default:
      return 503;  // of this host: the disk, a restart
  }
}

http_answer answer_of(const error& failure, std::uint32_t retry_after_ms) {
  http_answer answer;
  answer.status = http_status_of(failure.code);
  json_line line;
  line.add("error", cut(failure.detail)).add("code", name(failure.code));
  if (answer.status == 429 || answer.status == 503) {
    retry_after_ms = std::max(retry_after_ms, 1U);
    line.add("retry_after_ms", retry_after_ms);
    answer.retry_after_s = whole_seconds(retry_after_ms);
  }
  answer.body = line.text() + '\n';
  return answer;
}

http_answer answer_of(schemas::event_ack ack, unread_events unread) {
  if (ack.status != errc::ok) return answer_of({ack.status, ack.detail}, ack.retry_after_ms);
  move_behind(unread.first, ack.refusals);
  ack.refused += unread.count;
  auto& refusals = ack.refusals;
  refusals.insert(refusals.end(),
                  std::make_move_iterator(unread.first.begin()),
                  std::make_move_iterator(unread.first.end()));
  std::stable_sort(refusals.begin(), refusals.end(), [](const auto& a, const auto& b) {
    return a.event < b.event;
  });
  if (refusals.size() > schemas::refusals_max) refusals.resize(schemas::refusals_max);
  http_answer answer;
  if (ack.refused == 0 && refusals.empty()) {
    answer.body = body_without_refusals(ack);
    return answer;
  }
  json_line line;
  if (ack.refused > 0 && ack.accepted == 0 && ack.duplicates == 0) {
    answer.status = 400;
    line.add("error", refusals.empty() ? "every event was refused" : cut(refusals.front().detail));
  }
  line.add("accepted", ack.accepted).add("duplicates", ack.duplicates).add("refused", ack.refused);
  add_refusals(line, refusals);
  answer.body = line.text() + '\n';
  return answer;
}

}  // namespace headrace::actors
