#include "actors/http/event_answer.hpp"

#include "base/json_line.hpp"

#include <algorithm>
#include <utility>

namespace headrace::actors {
namespace {

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

void add_refusals(json_line& line, const std::vector<schemas::event_refusal>& refusals) {
  line.begin_array("refusals");
  for (const auto& each : refusals) {
    line.begin_object_item()
        .add("event", each.event)
        .add("fault", schemas::name(each.fault))
        .add("detail", each.detail)
        .end();
  }
  line.end();
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
  line.add("error", failure.detail).add("code", name(failure.code));
  if (answer.status == 429 || answer.status == 503) {
    retry_after_ms = std::max(retry_after_ms, 1U);
    line.add("retry_after_ms", retry_after_ms);
    answer.retry_after_s = whole_seconds(retry_after_ms);
  }
  answer.body = line.text() + '\n';
  return answer;
}

http_answer answer_of(schemas::event_ack ack, std::vector<schemas::event_refusal> unread) {
  if (ack.status != errc::ok) return answer_of({ack.status, ack.detail}, ack.retry_after_ms);
  move_behind(unread, ack.refusals);
  ack.refused += static_cast<std::uint32_t>(unread.size());
  auto& refusals = ack.refusals;
  refusals.insert(refusals.end(),
                  std::make_move_iterator(unread.begin()),
                  std::make_move_iterator(unread.end()));
  std::stable_sort(refusals.begin(), refusals.end(), [](const auto& a, const auto& b) {
    return a.event < b.event;
  });
  if (refusals.size() > schemas::refusals_max) refusals.resize(schemas::refusals_max);
  http_answer answer;
  json_line line;
  if (ack.refused > 0 && ack.accepted == 0 && ack.duplicates == 0) {
    answer.status = 400;
    line.add("error",
             refusals.empty() ? std::string("every event was refused") : refusals.front().detail);
  }
  line.add("accepted", ack.accepted).add("duplicates", ack.duplicates).add("refused", ack.refused);
  add_refusals(line, refusals);
  answer.body = line.text() + '\n';
  return answer;
}

}  // namespace headrace::actors
