#pragma once

#include "actors/request_path.hpp"
#include "actors/transport/router.hpp"

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

/// What the tests of the transport talk through.
namespace headrace::actors {

inline frame bytes_of(std::size_t size, unsigned char fill) {
  return frame::copy_of(std::vector<std::byte>(size, std::byte{fill}));
}

/// Answers as they arrive on the link's thread; a wait is for a condition with a deadline.
class inbox {
 public:
  void put(const schemas::envelope& head, frame section) {
    const std::lock_guard lock(mutex_);
    got_.emplace_back(head, std::move(section));
    arrived_.notify_all();
  }
  bool wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    return arrived_.wait_for(lock, std::chrono::seconds(20), [&] { return got_.size() >= count; });
  }
  request_path::receiver receiver() {
    return [this](const schemas::envelope& head, frame section) { put(head, std::move(section)); };
  }
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return got_.size();
  }
  std::vector<std::pair<schemas::envelope, frame>> got_;

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
};

/// Waits for a condition with a deadline.
inline bool eventually(const std::function<bool()>& holds) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > give_up) return false;
    std::this_thread::yield();
  }
  return true;
}

/// A path of its own for each test, in a short folder: a socket's path has at most 107 bytes.
class socket_path {
 public:
  explicit socket_path(const std::string& name)
      : path_("/tmp/headrace-" + std::to_string(::getpid()) + "-" + name) {
    std::filesystem::remove(path_);
  }
  ~socket_path() { std::filesystem::remove(path_); }
  const std::string& path() const { return path_; }
  std::string endpoint() const { return "ipc://" + path_; }

 private:
  std::string path_;
};

inline schemas::envelope request(std::uint64_t id,
                                 std::size_t sections,
                                 schemas::message_kind kind = schemas::message_kind::push) {
  schemas::envelope head;
  head.kind = kind;
  head.request_id = id;
  head.sender = "test";
  for (std::uint32_t i = 0; i < sections; ++i) head.sections.push_back({shard_id{i}});
  return head;
}

inline const router::handler echo = [](section_job job) { job.answer(job.section); };

/// Keeps jobs like shards that never get round to them, until told to answer.
class busy_shards {
 public:
  router::handler handler() {
    return [this](section_job job) {
      const std::lock_guard lock(mutex_);
      kept_.push_back(std::move(job));
    };
  }
  std::size_t count() {
    const std::lock_guard lock(mutex_);
    return kept_.size();
  }
  /// Answers the oldest with its own bytes and lets go of it.
  void answer_one() {
    const std::lock_guard lock(mutex_);
    kept_.front().answer(kept_.front().section);
    kept_.erase(kept_.begin());
  }
  void forget() {
    const std::lock_guard lock(mutex_);
    kept_.clear();
  }

 private:
  std::mutex mutex_;
  std::vector<section_job> kept_;
};

}  // namespace headrace::actors
