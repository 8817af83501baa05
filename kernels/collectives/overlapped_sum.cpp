#include "kernels/collectives/overlapped_sum.hpp"

#include <utility>

namespace headrace::kernels {

overlapped_sum::overlapped_sum(collective_group& group)
    : group_(group), thread_([this](const std::stop_token& stop) { run(stop); }) {}

overlapped_sum::~overlapped_sum() {
  thread_.request_stop();
  changed_.notify_all();
}

void overlapped_sum::begin(std::span<float> bucket) {
  {
    const std::lock_guard lock(mutex_);
    waiting_.push(bucket);
    ++open_;
  }
  changed_.notify_all();
}

result<void> overlapped_sum::finish() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return open_ == 0; });
  if (const auto failed = std::exchange(failed_, std::nullopt)) return *failed;
  return {};
}

void overlapped_sum::run(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (changed_.wait(lock, stop, [this] { return !waiting_.empty(); })) {
    const std::span<float> bucket = waiting_.front();
    waiting_.pop();
    lock.unlock();
    const auto summed = group_.all_reduce(bucket);
    lock.lock();
    if (!summed && !failed_) failed_ = summed.error();
    if (--open_ == 0) changed_.notify_all();
  }
}

}  // namespace headrace::kernels
