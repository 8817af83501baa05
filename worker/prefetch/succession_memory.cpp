#include "worker/prefetch/succession_memory.hpp"

#include <algorithm>

namespace headrace::worker {
namespace {

constexpr std::uint32_t strides_halved_after = 1024;

std::uint32_t way_of(std::size_t origin, std::uint8_t confirmed) {
  return static_cast<std::uint32_t>(origin) * (succession_memory::confirmed_max + 1U) + confirmed;
}

void add(std::vector<succession_memory::proposal>& proposals,
         std::uint64_t key,
         std::uint32_t way) {
  const bool known = std::any_of(
      proposals.begin(), proposals.end(), [&](const auto& other) { return other.key == key; });
  if (!known) proposals.push_back({key, way});
}

}  // namespace

succession_memory::succession_memory(std::size_t keys, std::uint64_t seed)
    : known_(keys, 1, seed), followers_(keys) {}

void succession_memory::record(std::uint64_t previous, std::uint64_t next) {
  std::uint32_t slot = known_.find(previous);
  if (slot == second_chance::none) {
    slot = known_.install(previous);
    followers_[slot] = {};
  } else {
    known_.touch(slot);
  }
  followers& after = followers_[slot];
  std::size_t at = 0;
  while (at < after.count && after.keys[at] != next) ++at;
  std::uint8_t confirmed = 0;
  if (at < after.count) {
    confirmed = std::min<std::uint8_t>(after.confirmed[at] + 1, confirmed_max);
  } else {
    if (after.count < followers_max) ++after.count;
    at = after.count - 1U;
  }
  // Everything before it was passed over: it moves back and is believed less.
  for (; at > 0; --at) {
    after.keys[at] = after.keys[at - 1];
    after.confirmed[at] = after.confirmed[at - 1] > 0 ? after.confirmed[at - 1] - 1 : 0;
  }
  after.keys[0] = next;
  after.confirmed[0] = confirmed;
  record_stride(next - previous);
}

void succession_memory::record_stride(std::uint64_t difference) {
  if (difference == 0) return;
  if (++strides_recorded_ % strides_halved_after == 0) {
    for (stride& each : strides_) each.count /= 2;
  }
  std::size_t at = 0;
  while (at + 1 < strides_.size() && strides_[at].difference != difference) ++at;
  if (strides_[at].difference != difference) {
    if (strides_[at].count > 0) {  // the rarest is worn down before it is replaced
      --strides_[at].count;
      return;
    }
    strides_[at] = {difference, 0};
  }
  ++strides_[at].count;
  for (; at > 0 && strides_[at].count > strides_[at - 1].count; --at) {
    std::swap(strides_[at], strides_[at - 1]);
  }
}

const succession_memory::followers* succession_memory::of(std::uint64_t key) const {
  const std::uint32_t slot = known_.find(key);
  return slot == second_chance::none || followers_[slot].count == 0 ? nullptr : &followers_[slot];
}

void succession_memory::propose(std::uint64_t key, std::vector<proposal>& proposals) const {
  if (const followers* first = of(key)) {
    for (std::size_t rank = 0; rank < first->count; ++rank) {
      add(proposals, first->keys[rank], way_of(rank, first->confirmed[rank]));
    }
    std::uint8_t weakest = first->confirmed[0];
    const followers* link = of(first->keys[0]);
    for (std::size_t hop = 1; hop < hops_max && link != nullptr; ++hop) {
      weakest = std::min(weakest, link->confirmed[0]);
      add(proposals, link->keys[0], way_of(followers_max + hop - 1, weakest));
      link = of(link->keys[0]);
    }
  }
  for (std::size_t i = 0; i < strides_max; ++i) {
    // As usual as one neighbour in 32, 16, 8 or more, by the count since the last halvings.
    const std::uint32_t usual = strides_[i].count * 32 / strides_halved_after;
    if (usual == 0) break;
    const auto grade = static_cast<std::uint8_t>(usual >= 8 ? 3 : usual >= 4 ? 2 : usual >= 2);
    add(proposals, key + strides_[i].difference, way_of(followers_max + hops_max - 1 + i, grade));
  }
}

}  // namespace headrace::worker
