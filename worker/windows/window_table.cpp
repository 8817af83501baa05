#include "worker/windows/window_table.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::size_t slots_min = 64;

template <class Counters>
auto numbers_of(Counters& all) {
  return std::array{&all.added, &all.late, &all.overflowed, &all.forgotten, &all.forgotten_events};
}

error damaged(const std::string& what) {
  return {errc::corrupt, "saved window: " + what + "; restore the state folder from a copy"};
}

}  // namespace

window_table::window_table(window_bounds how, std::uint64_t secret)
    : how_(how), secret_(secret), index_(slots_min, none), mask_(slots_min - 1) {
  CHECK(how_.over_ms > 0);
  CHECK(how_.keys_max > 0);
  CHECK(how_.key_events_max > 0);
  CHECK(how_.events_max >= how_.key_events_max);
}

void window_table::advance(std::uint64_t time_ms) {
  if (time_ms > how_.out_of_order_ms)
    watermark_ = std::max(watermark_, time_ms - how_.out_of_order_ms);
  while (oldest_ != none &&
         is_expired(entries_[oldest_].events.all().back().time_ms, watermark_, how_.over_ms))
    remove_oldest_key();
}

std::span<const window_event> window_table::window(const schemas::hash128& key,
                                                   std::uint64_t time_ms) const {
  const std::uint32_t at = index_[slot_of(key)];
  if (at == none) return {};
  return entries_[at].events.within(time_ms, std::max(time_ms, watermark_), how_.over_ms);
}

bool window_table::add(const schemas::hash128& key, const window_event& one) {
  if (one.time_ms < watermark_) {
    ++count_.late;
    return false;
  }
  const std::uint32_t at = find_or_make(key);
  window_counter& events = entries_[at].events;
  trim(events);
  events.insert(one);
  ++events_;
  ++count_.added;
  take_out(at);
  put_newest(at);
  keep_bounds(events);
  return true;
}

// What no window from the watermark on can hold.
void window_table::trim(window_counter& of) {
  const auto events = of.all();
  if (events.empty()) return;
  const auto known = of.within(watermark_, watermark_, how_.over_ms);
  auto gone = static_cast<std::size_t>(known.data() - events.data());
  if (how_.newest_max > 0 && known.size() > how_.newest_max) gone += known.size() - how_.newest_max;
  drop(of, gone);
}

void window_table::keep_bounds(window_counter& fed) {
  if (fed.size() > how_.key_events_max) {
    count_.overflowed += fed.size() - how_.key_events_max;
    drop(fed, fed.size() - how_.key_events_max);
  }
  while (events_ > how_.events_max) forget_oldest_key();
}

void window_table::drop(window_counter& from, std::size_t count) {
  from.drop_oldest(count);
  events_ -= count;
}

std::size_t window_table::home(const schemas::hash128& key) const {
  return secret_place(key.low, key.high, secret_) & mask_;
}

std::size_t window_table::longest_look() const {
  std::size_t longest = 0;
  for (std::size_t at = 0; at <= mask_; ++at) {
    if (index_[at] != none)
      longest = std::max(longest, ((at - home(entries_[index_[at]].key)) & mask_) + 1);
  }
  return longest;
}

std::size_t window_table::slot_of(const schemas::hash128& key) const {
  for (std::size_t at = home(key);; at = (at + 1) & mask_) {
    if (index_[at] == none || entries_[index_[at]].key == key) return at;
  }
}

std::uint32_t window_table::find_or_make(const schemas::hash128& key) {
  if (const std::uint32_t known = index_[slot_of(key)]; known != none) return known;
  while (keys_ >= how_.keys_max) forget_oldest_key();
  if (2 * (keys_ + 1) > index_.size()) grow();
  std::uint32_t at = 0;
  if (free_.empty()) {
    CHECK(entries_.size() < none);
    at = static_cast<std::uint32_t>(entries_.size());
    entries_.emplace_back();
  } else {
    at = free_.back();
    free_.pop_back();
  }
  entries_[at].key = key;
  index_[slot_of(key)] = at;
  ++keys_;
  put_newest(at);
  return at;
}

void window_table::grow() {
  std::vector<std::uint32_t> old(index_.size() * 2, none);
  old.swap(index_);
  mask_ = index_.size() - 1;
  for (const std::uint32_t at : old) {
    if (at != none) index_[slot_of(entries_[at].key)] = at;
  }
}

void window_table::erase(std::size_t slot) {
  std::size_t hole = slot;
  for (std::size_t at = (hole + 1) & mask_; index_[at] != none; at = (at + 1) & mask_) {
    // An entry may move back to the hole unless its home lies behind the hole.
    const std::size_t from_home = (at - home(entries_[index_[at]].key)) & mask_;
    if (from_home < ((at - hole) & mask_)) continue;
    index_[hole] = index_[at];
    hole = at;
  }
  index_[hole] = none;
}

void window_table::put_newest(std::uint32_t at) {
  entries_[at].older = newest_;
  entries_[at].newer = none;
  (newest_ == none ? oldest_ : entries_[newest_].newer) = at;
  newest_ = at;
}

void window_table::take_out(std::uint32_t at) {
  const auto [older, newer] = std::pair(entries_[at].older, entries_[at].newer);
  (older == none ? oldest_ : entries_[older].newer) = newer;
  (newer == none ? newest_ : entries_[newer].older) = older;
}

void window_table::remove_oldest_key() {
  const std::uint32_t at = oldest_;
  CHECK(at != none);
  erase(slot_of(entries_[at].key));
  take_out(at);
  events_ -= entries_[at].events.size();
  entries_[at].events = {};
  free_.push_back(at);
  --keys_;
}

void window_table::forget_oldest_key() {
  ++count_.forgotten;
  count_.forgotten_events += entries_[oldest_].events.size();
  remove_oldest_key();
}

void window_table::save(byte_writer& out) const {
  out.number(watermark_);
  for (const std::uint64_t* value : numbers_of(count_)) out.number(*value);
  out.number(static_cast<std::uint64_t>(keys_));
  for (std::uint32_t at = oldest_; at != none; at = entries_[at].newer) {
    const entry& one = entries_[at];
    out.number(one.key.low);
    out.number(one.key.high);
    out.number(static_cast<std::uint32_t>(one.events.size()));
    out.numbers(one.events.all());
  }
}

result<void> window_table::load(byte_reader& in) {
  CHECK(keys_ == 0);
  watermark_ = in.number<std::uint64_t>();
  for (std::uint64_t* value : numbers_of(count_)) *value = in.number<std::uint64_t>();
  for (auto left = in.number<std::uint64_t>(); left > 0 && in.ok(); --left) {
    schemas::hash128 key;
    key.low = in.number<std::uint64_t>();
    key.high = in.number<std::uint64_t>();
    const auto count = in.number<std::uint32_t>();
    if (!in.ok() || count == 0 || count > in.left() / sizeof(window_event))
      return damaged("a key without its events");
    if (index_[slot_of(key)] != none) return damaged("a key twice");
    window_counter& events = entries_[find_or_make(key)].events;
    for (std::uint32_t i = 0; i < count; ++i) {
      window_event one;
      one.time_ms = in.number<std::uint64_t>();
      one.value = in.number<std::uint64_t>();
      if (!events.empty() && one.time_ms < events.all().back().time_ms)
        return damaged("events out of their order");
      events.insert(one);
      ++events_;
    }
    keep_bounds(events);
  }
  if (!in.ok()) return damaged("cut short");
  return {};
}

}  // namespace headrace::worker
