#pragma once

#include "actors/http/event_feed.hpp"
#include "actors/http/http_server.hpp"

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace headrace::actors {

/// Where answers of any thread wait for the server's thread. Outlives the server for as long as a
/// reply does: after `close` it takes nothing.
///
/// The lock guards the list and `wake_`: `wake` is called under it, so that it is never called
/// after `close` has returned.
class answer_box {
 public:
  struct letter {
    std::uint64_t connection = 0;
    std::uint64_t slot = 0;
    http_answer answer;
    event_feed::message event = nullptr;  // for a connection that listens; then no answer
  };
  /// `wake` is called when the first letter comes into an empty box.
  explicit answer_box(std::function<void()> wake) : wake_(std::move(wake)) {}

  void put(letter mail) {
    const std::lock_guard hold(lock_);
    if (!wake_) return;
    letters_.push_back(std::move(mail));
    if (letters_.size() == 1) wake_();
  }
  /// Swaps what is there into `into`, which is empty.
  void take(std::vector<letter>& into) {
    const std::lock_guard hold(lock_);
    into.swap(letters_);
  }
  void close() {
    const std::lock_guard hold(lock_);
    wake_ = nullptr;
    letters_.clear();
  }

 private:
  std::mutex lock_;
  std::function<void()> wake_;
  std::vector<letter> letters_;
};

/// What an http_reply holds: answers once. One that goes without an answer gives 500, so that no
/// lost request holds up those behind it.
class single_answer {
 public:
  single_answer(std::shared_ptr<answer_box> box, std::uint64_t connection, std::uint64_t slot)
      : box_(std::move(box)), connection_(connection), slot_(slot) {}
  single_answer(const single_answer&) = delete;
  single_answer& operator=(const single_answer&) = delete;
  ~single_answer() {
    if (called_.load()) return;
    try {
      http_answer lost;
      lost.status = 500;
      lost.body = "{\"error\":\"the request was dropped without an answer\"}\n";
      box_->put({connection_, slot_, std::move(lost)});
    } catch (const std::exception&) {  // out of memory: the server's deadline answers
    }
  }
  void give(http_answer answer) {
    if (called_.exchange(true)) return;
    box_->put({connection_, slot_, std::move(answer)});
  }

 private:
  std::shared_ptr<answer_box> box_;
  std::uint64_t connection_;
  std::uint64_t slot_;
  std::atomic<bool> called_{false};
};

}  // namespace headrace::actors
