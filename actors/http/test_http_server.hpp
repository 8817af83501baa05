#pragma once

#include "actors/http/http_server.hpp"
#include "actors/http/test_http_client.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace headrace::actors {

/// A handler that keeps requests until the test answers them.
class held_requests {
 public:
  http_handler handler() {
    return [this](http_request request, http_reply reply) {
      const std::lock_guard hold(lock_);
      held_.emplace_back(std::move(request), std::move(reply));
      changed_.notify_all();
    };
  }
  bool wait_for(std::size_t count) {
    std::unique_lock hold(lock_);
    return changed_.wait_for(hold, std::chrono::seconds(10), [&] { return held_.size() >= count; });
  }
  std::pair<http_request, http_reply> take(std::size_t at) {
    const std::lock_guard hold(lock_);
    auto out = std::move(held_[at]);
    held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(at));
    return out;
  }
  std::size_t size() {
    const std::lock_guard hold(lock_);
    return held_.size();
  }

 private:
  std::mutex lock_;
  std::condition_variable changed_;
  std::deque<std::pair<http_request, http_reply>> held_;
};

inline http_answer text_answer(std::string body) {
  http_answer out;
  out.body = std::move(body);
  return out;
}

inline void echo(const http_request& request, const http_reply& reply) {
  reply(
      text_answer(request.method + ' ' + request.path + ' ' + request.query + ' ' + request.body));
}

template <class Condition>
bool eventually(Condition holds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

/// A server with handlers that echo and that hold, and how to reach it.
class HttpServer : public testing::Test {
 protected:
  void serve(http_options how = {}) {
    how_ = how;
    auto made = http_server::open({"127.0.0.1:0"},
                                  {{"GET", "/echo/*", echo, 1'000},
                                   {"POST", "/echo/*", echo, 1'000'000},
                                   {"GET", "/held", held_.handler(), 1'000},
                                   {"POST", "/held", held_.handler(), 1'000'000}},
                                  how);
    ASSERT_TRUE(made.ok()) << describe(made.error());
    server_ = std::move(*made);
  }
  std::string where() const { return server_->endpoints()[0]; }

  http_options how_;
  held_requests held_;
  std::unique_ptr<http_server> server_;
};

}  // namespace headrace::actors
