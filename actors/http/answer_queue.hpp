#pragma once

#include "actors/http/http_server.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>

namespace headrace::actors {

/// The requests of one connection that wait for their answer, and the answers that wait for those
/// before them: pipelined requests are answered in order whatever order handlers take. One thread.
class answer_queue {
 public:
  struct slot {
    bool head_only = false;
    bool close = false;  // nothing is sent behind this answer
    bool version_1_0 = false;
    std::size_t body_bytes = 0;    // of the request, in the server's room until it is answered
    std::size_t answer_bytes = 0;  // set aside for the answer; once it is there, its own
    std::uint64_t since_ns = 0;    // handed over
    std::string allow;
    // Set by the queue:
    bool ready = false;
    http_answer answer;
  };

  /// The slot's number, for `fill`.
  std::uint64_t push(slot next);
  /// False when it is not there, or was filled before.
  bool fill(std::uint64_t number, http_answer answer);
  bool empty() const { return slots_.empty(); }
  std::size_t size() const { return slots_.size(); }
  bool front_is_ready() const { return !slots_.empty() && slots_.front().ready; }
  slot& front() { return slots_.front(); }
  slot pop();
  std::size_t body_bytes() const { return body_bytes_; }
  /// Of the answers that are there, and set aside for the others.
  std::size_t answer_bytes() const { return answer_bytes_; }

 private:
  std::deque<slot> slots_;
  std::uint64_t first_ = 0;
  std::size_t body_bytes_ = 0;
  std::size_t answer_bytes_ = 0;
};

}  // namespace headrace::actors
