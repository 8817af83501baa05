#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace headrace::actors {

/// Server-sent events (the HTML standard's text/event-stream) to any number of peers: an
/// http_answer names the feed, and its connection listens from then on.
///
/// Every listener gets the newest message, at once and then as they come. One that reads slowly is
/// sent fewer of them, never older ones behind newer, and holds one message, whatever it does.
/// Thread-safe; the mutex guards everything.
class event_feed {
 public:
  using message = std::shared_ptr<const std::string>;
  using listener = std::function<void(const message&)>;

  /// `data` without line breaks.
  void publish(std::string_view data) {
    auto next = std::make_shared<std::string>("data: ");
    next->append(data).append("\n\n");
    const std::lock_guard hold(lock_);
    newest_ = std::move(next);
    for (const auto& [number, tell] : listeners_) tell(newest_);
  }
  /// `tell` must only hand over, and is never called after `leave` has returned.
  std::uint64_t listen(listener tell) {
    const std::lock_guard hold(lock_);
    if (newest_) tell(newest_);
    listeners_.emplace(++last_, std::move(tell));
    return last_;
  }
  void leave(std::uint64_t number) {
    const std::lock_guard hold(lock_);
    listeners_.erase(number);
  }
  std::size_t listeners() const {
    const std::lock_guard hold(lock_);
    return listeners_.size();
  }

 private:
  mutable std::mutex lock_;
  message newest_;
  std::unordered_map<std::uint64_t, listener> listeners_;
  std::uint64_t last_ = 0;
};

}  // namespace headrace::actors
