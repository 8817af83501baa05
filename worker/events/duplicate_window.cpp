#include "worker/events/duplicate_window.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <bit>
#include <span>

namespace headrace::worker {
namespace {

constexpr std::uint64_t id_seed = 0x6576'656e'7469'6473;  // frozen: "eventids"

}  // namespace

// The table has 2 … 4 slots an id, at most 2³²; spots have 32 bits, of which the upper ones say
// where.
duplicate_window::duplicate_window(std::uint64_t ids_max, std::uint64_t secret)
    : multiplier_((secret ^ 0x9e37'79b9'7f4a'7c15) | 1) {
  CHECK(ids_max >= 1 && ids_max <= ids_most);
  ring_.resize(ids_max);
  const std::uint64_t slots = std::max<std::uint64_t>(2, std::bit_ceil(ids_max) * 2);
  table_.resize(slots);
  shift_ = 32U - static_cast<std::uint32_t>(std::countr_zero(slots));
}

duplicate_window::hash duplicate_window::hash_of(std::string_view id) {
  return schemas::hash128_of(std::as_bytes(std::span(id)), id_seed);
}

// Multiply-shift (Dietzfelbinger et al., J. Algorithms 1997): whoever doesn't know the multiplier
// meets a given spot by chance only.
std::uint32_t duplicate_window::spot_of(const hash& of) const {
  return static_cast<std::uint32_t>((of.low * multiplier_) >> 32);
}

std::size_t duplicate_window::find(const hash& of) const {
  const std::uint32_t spot = spot_of(of);
  std::size_t at = home_of(spot);
  for (; table_[at] != 0; at = (at + 1) & (table_.size() - 1)) {
    if (table_[at] >> 32 != spot) continue;
    if (ring_[(table_[at] & 0xffff'ffff) - 1] == of) break;
  }
  return at;
}

bool duplicate_window::knows(std::string_view id) const { return table_[find(hash_of(id))] != 0; }

bool duplicate_window::add(std::string_view id) {
  const hash made = hash_of(id);
  if (table_[find(made)] != 0) return false;
  std::uint64_t place = oldest_;
  if (size_ == ring_.size()) {
    fallen_.push_back(ring_[oldest_]);  // may throw, and then nothing changed
    erase(oldest_);
    oldest_ = oldest_ + 1 == ring_.size() ? 0 : oldest_ + 1;
  } else {
    place = (oldest_ + size_) % ring_.size();
    ++size_;
  }
  ring_[place] = made;
  insert(place);
  ++open_;
  return true;
}

bool duplicate_window::add_older(const hash& id) {
  CHECK(open_ == 0);
  if (size_ == ring_.size()) return false;
  if (table_[find(id)] != 0) return true;
  oldest_ = (oldest_ == 0 ? ring_.size() : oldest_) - 1;
  ++size_;
  ring_[oldest_] = id;
  insert(oldest_);
  return true;
}

void duplicate_window::insert(std::uint64_t place) {
  const hash& of = ring_[place];
  table_[find(of)] = (slot{spot_of(of)} << 32) | (place + 1);
}

// Closes the gap by moving back those behind it that may stand there (Knuth, TAOCP 3, 6.4,
// algorithm R).
void duplicate_window::erase(std::uint64_t place) {
  const std::size_t mask = table_.size() - 1;
  std::size_t gap = home_of(spot_of(ring_[place]));
  while ((table_[gap] & 0xffff'ffff) != place + 1) {
    CHECK(table_[gap] != 0);
    gap = (gap + 1) & mask;
  }
  for (std::size_t at = (gap + 1) & mask; table_[at] != 0; at = (at + 1) & mask) {
    const std::size_t home = home_of(static_cast<std::uint32_t>(table_[at] >> 32));
    if (((at - home) & mask) < ((at - gap) & mask)) continue;  // its home lies behind the gap
    table_[gap] = table_[at];
    gap = at;
  }
  table_[gap] = 0;
}

void duplicate_window::take_back(std::uint64_t count) {
  CHECK(count <= open_);
  for (std::uint64_t taken = 0; taken < count; ++taken) {
    const std::uint64_t newest = (oldest_ + size_ - 1) % ring_.size();
    erase(newest);
    if (fallen_.empty()) {
      --size_;
      continue;
    }
    oldest_ = newest;  // the ring was full: the one that fell out stood where the newest stands
    ring_[newest] = fallen_.back();
    fallen_.pop_back();
    insert(newest);
  }
  open_ -= count;
}

void duplicate_window::settle(std::uint64_t count) {
  CHECK(count <= open_);
  open_ -= count;
  while (fallen_.size() > open_) fallen_.pop_front();
}

std::size_t duplicate_window::bytes() const {
  return ring_.size() * sizeof(hash) + table_.size() * sizeof(slot) + fallen_.size() * sizeof(hash);
}

}  // namespace headrace::worker
