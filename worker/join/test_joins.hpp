#pragma once

#include "worker/join/joiner.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

/// Calls and samples as values, for tests of the joiner.
namespace headrace::worker {

/// One call. Of an impression the payload is its key, so that a sample tells whose it is, unless
/// another is given.
struct join_call {
  enum class what { impression, action, idle, finish } call = what::impression;
  std::string key;
  std::uint64_t time_ms = 0;  // or the stamp
  std::uint32_t kind = 0;
  std::uint64_t arrived_ms = 0;
  std::string payload;
};

struct sent_sample {
  std::string payload;
  std::uint64_t time_ms = 0;
  std::uint64_t actions = 0;
  std::uint64_t arrived_ms = 0;
  join_outcome outcome = join_outcome::closed;
  friend bool operator==(const sent_sample&, const sent_sample&) = default;
};

inline join_call impression(std::string key, std::uint64_t time_ms, std::uint64_t arrived_ms = 0) {
  return {join_call::what::impression, key, time_ms, 0, arrived_ms, std::move(key)};
}
inline join_call action(std::string key,
                        std::uint64_t time_ms,
                        std::uint32_t kind = 0,
                        std::uint64_t arrived_ms = 0) {
  return {join_call::what::action, std::move(key), time_ms, kind, arrived_ms, {}};
}
inline join_call idle(std::uint64_t stamp_ms) {
  return {join_call::what::idle, {}, stamp_ms, 0, 0, {}};
}
inline join_call finish() { return {join_call::what::finish, {}, 0, 0, 0, {}}; }

inline void apply(joiner& to, const join_call& one) {
  switch (one.call) {
    case join_call::what::impression:
      return to.impression(
          one.key, one.time_ms, one.arrived_ms, std::as_bytes(std::span(one.payload)));
    case join_call::what::action:
      return to.action(one.key, one.time_ms, one.arrived_ms, one.kind);
    case join_call::what::idle:
      return to.idle(one.time_ms);
    case join_call::what::finish:
      return to.finish();
  }
}

/// What is ready, at most `samples_max` of it.
inline void take_all(joiner& from,
                     std::vector<sent_sample>& into,
                     std::size_t samples_max = SIZE_MAX) {
  joined_sample one;
  for (; samples_max > 0 && from.take(one); --samples_max) {
    into.push_back(
        {std::string(reinterpret_cast<const char*>(one.payload.data()), one.payload.size()),
         one.time_ms,
         one.actions,
         one.arrived_ms,
         one.outcome});
  }
}

inline std::vector<sent_sample> run(joiner& through, const std::vector<join_call>& calls) {
  std::vector<sent_sample> sent;
  for (const join_call& one : calls) {
    apply(through, one);
    take_all(through, sent);
  }
  return sent;
}
inline std::vector<sent_sample> run(const join_spec& how, const std::vector<join_call>& calls) {
  joiner through(how);
  return run(through, calls);
}

}  // namespace headrace::worker
