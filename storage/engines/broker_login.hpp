#pragma once

#include <algorithm>
#include <chrono>
#include <string>

namespace headrace::storage {

/// Where a broker is and who asks: what a client needs to connect. Plain data; the job file fills
/// it, and the environment the password.
struct broker_login {
  /// Kafka: "host:port,host:port". JetStream: "nats://host:port,…". Redis: "host:port" or
  /// "unix:/path".
  std::string endpoints;
  std::string client_id;  // of this process, for the broker's own listings
  std::string user;
  std::string password;
  bool tls = false;  // Redis: not with the client library of Debian 12
};

/// When to try a broker again: 50 ms after the first failure, twice as long after each further one,
/// at most 5 s.
class reconnect_pace {
 public:
  using time = std::chrono::steady_clock::time_point;
  bool is_due(time now) const { return now >= due_; }
  time due() const { return due_; }
  void failed(time now) {
    due_ = now + wait_;
    wait_ = std::min(wait_ * 2, longest);
  }
  void worked() { wait_ = first; }

 private:
  static constexpr std::chrono::milliseconds first{50};
  static constexpr std::chrono::milliseconds longest{5'000};
  std::chrono::milliseconds wait_ = first;
  time due_{};
};

}  // namespace headrace::storage
