#include "worker/join/expiry_queue.hpp"

#include <algorithm>

namespace headrace::worker {
namespace {

constexpr std::size_t spare_max = 2;

// std's heaps have the greatest in front.
bool behind(const expiry_queue::item& a, const expiry_queue::item& b) {
  return a.deadline != b.deadline ? a.deadline > b.deadline : a.sequence > b.sequence;
}

}  // namespace

void expiry_queue::push(const item& one) {
  ++size_;
  const std::uint64_t number = one.deadline / bucket_ms_;
  if (number < front_end_) {
    front_.push_back(one);
    std::push_heap(front_.begin(), front_.end(), behind);
    return;
  }
  if (newest_bucket_ == nullptr || newest_ != number) {
    const auto [at, fresh] = later_.try_emplace(number);
    if (fresh && !spare_.empty()) {
      at->second = std::move(spare_.back());
      spare_.pop_back();
    }
    newest_ = number;
    newest_bucket_ = &at->second;
  }
  newest_bucket_->push_back(one);
}

// The first of the later buckets becomes the front, which is empty.
void expiry_queue::open_next() {
  const auto first = later_.begin();
  front_.swap(first->second);
  front_end_ = first->first + 1;
  if (newest_bucket_ == &first->second) newest_bucket_ = nullptr;
  if (spare_.size() < spare_max) spare_.push_back(std::move(first->second));
  later_.erase(first);
  std::make_heap(front_.begin(), front_.end(), behind);
}

bool expiry_queue::pop_before(std::uint64_t watermark, item& into) {
  if (front_.empty()) {
    if (later_.empty() || later_.begin()->first * bucket_ms_ >= watermark) return false;
    open_next();
  }
  if (front_.front().deadline >= watermark) return false;
  return pop(into);
}

bool expiry_queue::pop(item& into) {
  if (size_ == 0) return false;
  if (front_.empty()) open_next();
  std::pop_heap(front_.begin(), front_.end(), behind);
  into = front_.back();
  front_.pop_back();
  --size_;
  return true;
}

std::vector<expiry_queue::item> expiry_queue::by_sequence() const {
  std::vector<item> all(front_);
  all.reserve(size_);
  for (const auto& [number, items] : later_) all.insert(all.end(), items.begin(), items.end());
  std::sort(
      all.begin(), all.end(), [](const item& a, const item& b) { return a.sequence < b.sequence; });
  return all;
}

}  // namespace headrace::worker
