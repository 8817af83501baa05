#include "storage/io_pool.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <atomic>
#include <memory>
#include <pthread.h>
#include <string>
#include <utility>

namespace headrace::storage {
namespace {

// Pieces of one call of `share`. Helpers that come too late find none left, and touch nothing of
// the caller's.
struct shared_pieces {
  std::size_t count;
  const std::function<void(std::size_t)>& piece;  // the caller's, who waits while one is begun
  std::atomic<std::size_t> next{0};
  std::atomic<std::size_t> done{0};

  shared_pieces(std::size_t of, const std::function<void(std::size_t)>& what)
      : count(of), piece(what) {}
  void work() noexcept {
    for (std::size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) {
      piece(i);
      done.fetch_add(1);
      done.notify_all();
    }
  }
  void wait() const {
    for (std::size_t seen = done.load(); seen < count; seen = done.load()) done.wait(seen);
  }
};

}  // namespace

io_pool::io_pool(unsigned threads) {
  CHECK(threads > 0);
  threads_.reserve(threads);
  for (unsigned i = 0; i < threads; ++i) {
    threads_.emplace_back([this] { work(); });
    ::pthread_setname_np(threads_.back().native_handle(), ("io-" + std::to_string(i)).c_str());
  }
}

io_pool::~io_pool() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  for (auto& one : threads_) one.join();
}

void io_pool::run(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    CHECK(!ending_ || running_ > 0);  // only a task may still give one
    queue_.push_back(std::move(task));
  }
  changed_.notify_one();
}

void io_pool::share(std::size_t count, const std::function<void(std::size_t)>& piece) {
  if (count == 0) return;
  const auto pieces = std::make_shared<shared_pieces>(count, piece);
  const std::size_t helpers = std::min<std::size_t>(count - 1, threads_.size());
  for (std::size_t i = 0; i < helpers; ++i) run([pieces] { pieces->work(); });
  pieces->work();
  pieces->wait();
}

void io_pool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    // A running task may give another, so nobody goes home before the last one is through.
    changed_.wait(lock, [this] { return !queue_.empty() || (ending_ && running_ == 0); });
    if (queue_.empty()) break;
    auto task = std::move(queue_.front());
    queue_.pop_front();
    ++running_;
    lock.unlock();
    task();
    task = nullptr;  // what it holds is let go before it counts as finished
    lock.lock();
    --running_;
    if (ending_ && running_ == 0 && queue_.empty()) changed_.notify_all();
  }
}

}  // namespace headrace::storage
