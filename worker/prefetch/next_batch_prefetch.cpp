#include "worker/prefetch/next_batch_prefetch.hpp"

#include <algorithm>

namespace headrace::worker {

void next_batch_prefetch::announce(std::span<const std::uint64_t> keys) {
  announced_.push_back({{keys.begin(), keys.end()}});
}

void next_batch_prefetch::observe(std::span<const std::uint64_t> keys) {
  pulled_ += keys.size();
  if (announced_.empty()) return;
  ahead_ += announced_.front().asked;
  announced_.pop_front();
}

void next_batch_prefetch::predict(std::size_t max, std::vector<std::uint64_t>& wanted) {
  wanted.clear();
  for (batch& next : announced_) {
    const std::size_t count = std::min(max - wanted.size(), next.keys.size() - next.asked);
    const auto from = next.keys.begin() + static_cast<std::ptrdiff_t>(next.asked);
    wanted.insert(wanted.end(), from, from + static_cast<std::ptrdiff_t>(count));
    next.asked += count;
    if (wanted.size() == max) return;
  }
}

std::string next_batch_prefetch::report() const {
  return "next_batch: " + std::to_string(ahead_) + " of " + std::to_string(pulled_) +
         " keys were asked for before their batch was pulled";
}

}  // namespace headrace::worker
