#include "worker/text/near_window.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <bit>

namespace headrace::worker {

near_window::near_window(std::size_t texts_max, unsigned distance_max)
    : distance_max_(distance_max), ring_(texts_max), newest_(std::size_t{1} << 16) {
  CHECK(texts_max >= 1 && texts_max <= texts_most);
  CHECK(distance_max <= distance_most);
}

std::size_t near_window::size() const {
  return static_cast<std::size_t>(std::min<std::uint64_t>(added_, ring_.size()));
}

bool near_window::knows_near(std::uint64_t hash) const {
  const std::uint64_t oldest = added_ - size();
  for (std::size_t b = 0; b < blocks; ++b) {
    std::uint64_t through = newest_[block(hash, b)][b];
    while (through > oldest) {
      const text& seen = ring_[(through - 1) % ring_.size()];
      if (static_cast<unsigned>(std::popcount(seen.hash ^ hash)) <= distance_max_) return true;
      if (seen.back[b] == 0) break;
      through -= seen.back[b];
    }
  }
  return false;
}

void near_window::add(std::uint64_t hash) {
  text& made = ring_[added_ % ring_.size()];
  made.hash = hash;
  ++added_;
  for (std::size_t b = 0; b < blocks; ++b) {
    std::uint64_t& newest = newest_[block(hash, b)][b];
    const std::uint64_t back = newest == 0 ? 0 : added_ - newest;
    made.back[b] = back < ring_.size() ? static_cast<std::uint32_t>(back) : 0;
    newest = added_;
  }
}

std::vector<std::uint64_t> near_window::hashes() const {
  std::vector<std::uint64_t> all;
  all.reserve(size());
  for (std::uint64_t n = added_ - size(); n < added_; ++n)
    all.push_back(ring_[n % ring_.size()].hash);
  return all;
}

}  // namespace headrace::worker
