#include "actors/restart_policy.hpp"

#include "base/random.hpp"

#include <algorithm>

namespace headrace::actors {

std::optional<std::uint32_t> restart_policy::failed(std::uint64_t now_ms) {
  while (!recent_.empty() && now_ms - recent_.front() >= limits_.window_ms) recent_.pop_front();
  if (recent_.empty()) doublings_ = 0;
  ++failures_;
  if (recent_.size() >= limits_.restarts_max) return std::nullopt;
  recent_.push_back(now_ms);
  const std::uint64_t longest = limits_.longest_wait_ms;
  const std::uint64_t wait = std::min(longest, std::uint64_t{limits_.first_wait_ms} << doublings_);
  if (wait < longest) ++doublings_;
  const std::uint64_t least = wait - wait / 2;
  return static_cast<std::uint32_t>(least + counter_draw(limits_.seed, child_, failures_) %
                                                (wait - least + 1));
}

}  // namespace headrace::actors
