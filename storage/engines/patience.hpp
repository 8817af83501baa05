#pragma once

#include "storage/engines/broker_login.hpp"
#include "storage/engines/message_stream.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>

namespace headrace::storage {

/// How long one call waits for a broker.
class patience {
 public:
  explicit patience(std::int64_t ms) : end_(clock::now() + std::chrono::milliseconds(ms)) {}
  /// False: it is over. Waits a while first, longer each time.
  bool again() {
    const auto now = clock::now();
    if (now >= end_) return false;
    pace_.failed(now);
    std::this_thread::sleep_until(std::min(pace_.due(), end_));
    return true;
  }

 private:
  using clock = std::chrono::steady_clock;
  clock::time_point end_;
  reconnect_pace pace_;
};

/// Tries until it is known what became of a message. `send` is one try of the same bytes for the
/// same position, and sets its argument when the message went out and was not acknowledged: from
/// then on it may come to be there, so that a later refusal is none.
template <class Send>
message_stream::outcome send_until_known(std::int64_t patience_ms, Send send) {
  using fate = message_stream::fate;
  patience still(patience_ms);
  message_stream::outcome out;
  bool sent = false;
  do {
    out = send(sent);
  } while (out.is == fate::unknown && still.again());
  if (out.is == fate::unknown && !sent) out.is = fate::refused;
  if (out.is == fate::refused && sent && out.code != errc::corrupt) out.is = fate::unknown;
  return out;
}

}  // namespace headrace::storage
