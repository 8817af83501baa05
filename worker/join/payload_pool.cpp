#include "worker/join/payload_pool.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::size_t block_bytes_max = std::size_t{1} << 20;
constexpr std::size_t block_bytes_min = std::size_t{4} << 10;
constexpr std::size_t spare_max = 2;
constexpr std::size_t dead_max = 4096;  // removed from the store at once

struct header {
  std::uint32_t place;
  std::uint32_t size;
};
static_assert(sizeof(header) == 8);

// At least sixteen blocks in the budget, so that the oldest is a small part of it.
std::size_t block_size(std::uint64_t bytes_max) {
  if (bytes_max == 0) return block_bytes_max;
  return std::clamp<std::size_t>(bytes_max / 16, block_bytes_min, block_bytes_max);
}

}  // namespace

payload_pool::payload_pool(std::uint64_t bytes_max, storage::spill_store* store)
    : bytes_max_(bytes_max), store_(store), block_bytes_(block_size(bytes_max)) {}

std::uint32_t payload_pool::add(std::span<const std::byte> bytes) {
  keep_bounds();
  std::uint32_t at = 0;
  if (free_.empty()) {
    CHECK(places_.size() < none);
    at = static_cast<std::uint32_t>(places_.size());
    places_.emplace_back();
  } else {
    at = free_.back();
    free_.pop_back();
  }
  put(at, bytes);
  return at;
}

// Into the newest block.
void payload_pool::put(std::uint32_t at, std::span<const std::byte> bytes) {
  const std::size_t needed = cost(bytes.size());
  if (blocks_.empty() || blocks_.back().capacity - blocks_.back().filled < needed)
    open_block(needed);
  block& into = blocks_.back();
  std::byte* const to = into.bytes.get() + into.filled;
  const header head{at, static_cast<std::uint32_t>(bytes.size())};
  std::memcpy(to, &head, sizeof head);
  if (!bytes.empty()) std::memcpy(to + sizeof head, bytes.data(), bytes.size());
  places_[at] = {
      into.filled, static_cast<std::uint32_t>(first_block_ + blocks_.size() - 1), head.size};
  into.filled += needed;
  into.used += needed;
  used_ += needed;
}

void payload_pool::open_block(std::size_t bytes_min) {
  if (!blocks_.empty() && blocks_.back().used == 0) give_back(blocks_.back());
  while (!blocks_.empty() && blocks_.front().bytes == nullptr) {
    blocks_.pop_front();
    ++first_block_;
  }
  block fresh;
  fresh.capacity = std::max(block_bytes_, bytes_min);
  if (fresh.capacity == block_bytes_ && !spare_.empty()) {
    fresh.bytes = std::move(spare_.back());
    spare_.pop_back();
  } else {
    fresh.bytes = std::make_unique_for_overwrite<std::byte[]>(fresh.capacity);
    block_bytes_held_ += fresh.capacity;
  }
  blocks_.push_back(std::move(fresh));
}

void payload_pool::give_back(block& empty) {
  if (empty.capacity == block_bytes_ && spare_.size() < spare_max) {
    spare_.push_back(std::move(empty.bytes));
  } else {
    block_bytes_held_ -= empty.capacity;
    empty.bytes.reset();
  }
  empty.bytes = nullptr;
}

// What `one` held in its block is no longer needed.
void payload_pool::leave(const location& one) {
  block& of = block_of(one.block);
  const std::size_t bytes = cost(one.size);
  of.used -= bytes;
  used_ -= bytes;
  if (of.used == 0 && &of != &blocks_.back()) give_back(of);
}

void payload_pool::remove(std::uint32_t at) {
  location& one = places_[at];
  if (one.block == in_store) {
    --spilled_;
    forget_in_store(one.at);
  } else {
    leave(one);
  }
  one = {};
  free_.push_back(at);
}

std::span<const std::byte> payload_pool::get(std::uint32_t at) const {
  const location& one = places_[at];
  CHECK(one.block != in_store);
  return {block_of(one.block).bytes.get() + one.at + sizeof(header), one.size};
}

// Visits the places whose payloads lie in a block.
template <class Visit>
void payload_pool::for_each_in(std::uint32_t number, Visit visit) const {
  const block& from = block_of(number);
  for (std::size_t at = 0; at < from.filled;) {
    header head;
    std::memcpy(&head, from.bytes.get() + at, sizeof head);
    const location& one = places_[head.place];
    if (one.block == number && one.at == at) visit(head.place);
    at += cost(head.size);
  }
}

void payload_pool::keep_bounds() {
  while (spills() && !failure_ && block_bytes_held_ > bytes_max_) {
    if (!spare_.empty()) {
      spare_.pop_back();
      block_bytes_held_ -= block_bytes_;
    } else if (blocks_.size() > 1) {
      spill_oldest();
    } else {
      break;
    }
  }
  if (block_bytes_held_ > 2 * used_ + 4 * block_bytes_ && blocks_.size() > 1) empty_oldest();
}

// Moves the payloads of the oldest block into the newest.
void payload_pool::empty_oldest() {
  while (blocks_.front().bytes == nullptr) {
    blocks_.pop_front();
    ++first_block_;
  }
  if (blocks_.size() == 1) return;
  const std::uint32_t number = first_block_;
  std::vector<std::uint32_t> found;
  for_each_in(number, [&](std::uint32_t at) { found.push_back(at); });
  // The last `leave` gives the block back, so its bytes are held until then.
  for (const std::uint32_t at : found) {
    const location old = places_[at];
    put(at, get(at));
    leave(old);
  }
}

void payload_pool::spill_oldest() {
  while (blocks_.front().bytes == nullptr) {
    blocks_.pop_front();
    ++first_block_;
  }
  if (blocks_.size() == 1) return;
  std::vector<std::uint32_t> found;
  for_each_in(first_block_, [&](std::uint32_t at) { found.push_back(at); });
  std::vector<storage::spilled_bytes> batch;
  batch.reserve(found.size());
  for (const std::uint32_t at : found) batch.push_back({next_number_ + batch.size(), get(at)});
  if (auto written = store_->write(batch); !written) return fail(written.error());
  for (const std::uint32_t at : found) {
    const location old = places_[at];
    places_[at] = {next_number_++, in_store, old.size};
    ++spilled_;
    leave(old);
  }
}

bool payload_pool::fetch(std::span<const std::uint32_t> wanted) {
  if (failure_) return false;
  std::vector<std::pair<std::uint64_t, std::uint32_t>> away;  // number, place
  for (const std::uint32_t at : wanted) {
    if (!in_memory(at)) away.emplace_back(places_[at].at, at);
  }
  std::sort(away.begin(), away.end());
  away.erase(std::unique(away.begin(), away.end()), away.end());
  if (away.empty()) return true;
  std::vector<std::uint64_t> numbers;
  numbers.reserve(away.size());
  for (const auto& [number, at] : away) numbers.push_back(number);
  std::size_t next = 0;
  const auto done = store_->read(numbers, [&](const storage::spilled_bytes& one) {
    put(away[next++].second, one.bytes);
    --spilled_;
  });
  if (!done) fail(done.error());
  for (const std::uint64_t number : numbers) forget_in_store(number);
  return !failure_;
}

result<void> payload_pool::read(
    std::span<const std::uint32_t> wanted,
    const std::function<void(std::span<const std::byte>)>& visit) const {
  if (failure_) return *failure_;
  std::vector<std::uint64_t> numbers;
  for (const std::uint32_t at : wanted) {
    if (!in_memory(at)) numbers.push_back(places_[at].at);
  }
  std::sort(numbers.begin(), numbers.end());
  numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
  std::vector<std::vector<std::byte>> bytes;
  if (!numbers.empty()) {
    auto done = store_->read(numbers, [&](const storage::spilled_bytes& one) {
      bytes.emplace_back(one.bytes.begin(), one.bytes.end());
    });
    if (!done) return done;
  }
  for (const std::uint32_t at : wanted) {
    if (in_memory(at)) {
      visit(get(at));
      continue;
    }
    const auto found = std::lower_bound(numbers.begin(), numbers.end(), places_[at].at);
    visit(bytes[static_cast<std::size_t>(found - numbers.begin())]);
  }
  return {};
}

void payload_pool::forget_in_store(std::uint64_t number) {
  dead_.push_back(number);
  if (dead_.size() < dead_max || failure_) return;
  std::sort(dead_.begin(), dead_.end());
  const auto done = store_->remove(dead_);
  dead_.clear();
  if (!done) fail(done.error());
}

void payload_pool::fail(const error& why) {
  if (!failure_) failure_ = why;
}

}  // namespace headrace::worker
