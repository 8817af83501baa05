#include "worker/events/event_reader.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::size_t records_at_once = 256;
constexpr std::size_t bytes_at_once = std::size_t{4} << 20;

}  // namespace

result<logged_events_ptr> to_logged_events(const storage::log_record& record) {
  if (record.kind != storage::record_kind::events) {
    return error{errc::corrupt,
                 "event log: record " + std::to_string(record.lsn.value) +
                     " holds no events; is this another log's folder?"};
  }
  return std::make_shared<const logged_events>(
      logged_events{record.lsn, record.stamp_ms, record.payload, record.decisions});
}

result<logged_events_ptr> event_reader::next() {
  if (ahead_.empty()) {
    if (auto read = refill(); !read) return read.error();
  }
  if (ahead_.empty()) return logged_events_ptr{};
  logged_events_ptr first = std::move(ahead_.back());
  ahead_.pop_back();
  next_ = lsn{first->position.value + 1};
  return first;
}

result<void> event_reader::refill() {
  const lsn oldest = tail_.take(next_, records_at_once, ahead_);
  std::reverse(ahead_.begin(), ahead_.end());
  if (!ahead_.empty()) return {};
  if (oldest == next_ && log_.last().last < next_) return {};
  return read_log(oldest);
}

// The records before `before`, or all there are when that is where we stand: the tail holds none.
result<void> event_reader::read_log(lsn before) {
  std::optional<error> failed;
  std::size_t bytes = 0;
  const bool to_the_end = before == next_;
  auto read = log_.read_from(next_, [&](const storage::log_record& record) {
    if (!to_the_end && record.lsn >= before) return false;
    auto events = to_logged_events(record);
    if (!events) {
      failed = events.error();
      return false;
    }
    bytes += (*events)->bytes();
    ahead_.push_back(std::move(*events));
    return bytes < bytes_at_once;
  });
  if (!read) return read;
  if (ahead_.empty() && failed) return *failed;
  if (!ahead_.empty() && ahead_.front()->position != next_) {
    const auto found = ahead_.front()->position;
    ahead_.clear();
    return error{errc::corrupt,
                 "event log begins at record " + std::to_string(found.value) + " but record " +
                     std::to_string(next_.value) +
                     " was not joined yet; restore the state folder from a copy"};
  }
  std::reverse(ahead_.begin(), ahead_.end());
  return {};
}

}  // namespace headrace::worker
