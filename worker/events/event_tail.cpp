#include "worker/events/event_tail.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <utility>

namespace headrace::worker {

void event_tail::put(logged_events_ptr record) {
  const std::lock_guard lock(mutex_);
  CHECK(held_.empty() || record->position.value == held_.back()->position.value + 1);
  bytes_ += record->bytes();
  held_.push_back(std::move(record));
  while (bytes_ > bytes_max_ && held_.size() > 1) {
    bytes_ -= held_.front()->bytes();
    held_.pop_front();
  }
  if (wake_) wake_();
}

lsn event_tail::take(lsn next, std::size_t count, std::vector<logged_events_ptr>& into) {
  const std::lock_guard lock(mutex_);
  if (held_.empty() || next > held_.back()->position) return next;
  const lsn oldest = held_.front()->position;
  if (next < oldest) return oldest;
  const auto from = static_cast<std::ptrdiff_t>(next.value - oldest.value);
  const auto most = static_cast<std::ptrdiff_t>(count);
  const auto size = static_cast<std::ptrdiff_t>(held_.size());
  into.insert(into.end(), held_.begin() + from, held_.begin() + std::min(size, from + most));
  return next;
}

void event_tail::on_put(std::function<void()> wake) {
  const std::lock_guard lock(mutex_);
  wake_.swap(wake);  // what it was goes when the lock is free: it may end an actor
}

}  // namespace headrace::worker
