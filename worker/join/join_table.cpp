#include "worker/join/join_table.hpp"

#include "base/check.hpp"
#include "base/process_secret.hpp"

#include <algorithm>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::size_t slots_min = 64;

}  // namespace

join_table::join_table(std::uint64_t secret)
    : secret_(secret), index_(slots_min, none), mask_(slots_min - 1) {}

std::size_t join_table::home(const schemas::hash128& key) const {
  return secret_place(key.low, key.high, secret_) & mask_;
}

std::size_t join_table::longest_look() const {
  std::size_t longest = 0;
  for (std::size_t at = 0; at <= mask_; ++at) {
    if (index_[at] != none)
      longest = std::max(longest, ((at - home(entries_[index_[at]].key)) & mask_) + 1);
  }
  return longest;
}

std::size_t join_table::slot_of(const schemas::hash128& key) const {
  for (std::size_t at = home(key);; at = (at + 1) & mask_) {
    if (index_[at] == none || entries_[index_[at]].key == key) return at;
  }
}

std::uint32_t join_table::find(const schemas::hash128& key) const { return index_[slot_of(key)]; }

std::uint32_t join_table::add(const join_entry& one) {
  std::uint32_t entry = 0;
  if (free_.empty()) {
    CHECK(entries_.size() < none);
    entry = static_cast<std::uint32_t>(entries_.size());
    entries_.push_back(one);
  } else {
    entry = free_.back();
    free_.pop_back();
    entries_[entry] = one;
  }
  entries_[entry].previous = entry;
  entries_[entry].next = none;
  ++size_;
  if (one.state == join_state::gone) return entry;
  if (2 * (keys_ + 1) > index_.size()) grow();
  std::uint32_t& first = index_[slot_of(one.key)];
  if (first == none) {
    first = entry;
    ++keys_;
  } else {
    CHECK(!one.is_impression());
    append(first, entry);
  }
  return entry;
}

void join_table::append(std::uint32_t first, std::uint32_t entry) {
  CHECK(!entries_[first].is_impression());
  const std::uint32_t last = std::exchange(entries_[first].previous, entry);
  entries_[last].next = entry;
  entries_[entry].previous = last;
}

void join_table::remove(std::uint32_t entry) {
  const join_entry& one = entries_[entry];
  if (one.is_impression()) {
    erase(slot_of(one.key));
  } else if (one.state == join_state::waiting) {
    unchain(entry);
  }
  free_.push_back(entry);
  --size_;
}

void join_table::unchain(std::uint32_t entry) {
  const join_entry& one = entries_[entry];
  const std::size_t slot = slot_of(one.key);
  const std::uint32_t first = index_[slot];
  CHECK(first != none);
  if (first != entry) {
    entries_[one.previous].next = one.next;
    entries_[one.next == none ? first : one.next].previous = one.previous;
  } else if (one.next == none) {
    erase(slot);
  } else {
    entries_[one.next].previous = one.previous;
    index_[slot] = one.next;
  }
}

std::uint32_t join_table::detach(const schemas::hash128& key) {
  const std::size_t slot = slot_of(key);
  const std::uint32_t first = index_[slot];
  if (first == none) return none;
  CHECK(!entries_[first].is_impression());
  erase(slot);
  for (std::uint32_t at = first; at != none; at = entries_[at].next)
    entries_[at].state = join_state::gone;
  return first;
}

void join_table::erase(std::size_t slot) {
  CHECK(index_[slot] != none);
  std::size_t hole = slot;
  for (std::size_t at = (hole + 1) & mask_; index_[at] != none; at = (at + 1) & mask_) {
    // An entry may move back to the hole unless its home lies behind the hole.
    const std::size_t from_home = (at - home(entries_[index_[at]].key)) & mask_;
    if (from_home < ((at - hole) & mask_)) continue;
    index_[hole] = index_[at];
    hole = at;
  }
  index_[hole] = none;
  --keys_;
}

void join_table::grow() {
  std::vector<std::uint32_t> old(index_.size() * 2, none);
  old.swap(index_);
  mask_ = index_.size() - 1;
  for (const std::uint32_t first : old) {
    if (first != none) index_[slot_of(entries_[first].key)] = first;
  }
}

}  // namespace headrace::worker
