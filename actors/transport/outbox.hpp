#pragma once

#include "actors/transport/wakeup.hpp"

#include <mutex>
#include <utility>
#include <vector>

namespace headrace::actors {

/// Many writers, one poll thread that takes everything at once. The mutex guards `items_` only and
/// is held for a push or a swap; the poll thread is woken when the box turns from empty to full.
template <class Item>
class outbox {
 public:
  int fd() const { return wakeup_.fd(); }

  void put(Item item) {
    bool was_empty = false;
    {
      const std::lock_guard lock(mutex_);
      was_empty = items_.empty();
      items_.push_back(std::move(item));
    }
    if (was_empty) wakeup_.signal();
  }
  /// Wakes the poll thread without an item, to make it look at its stop flag.
  void nudge() { wakeup_.signal(); }

  /// Swaps the waiting items into `taken`, which must be empty.
  void take(std::vector<Item>& taken) {
    wakeup_.clear();
    const std::lock_guard lock(mutex_);
    taken.swap(items_);
  }

 private:
  wakeup wakeup_;
  std::mutex mutex_;
  std::vector<Item> items_;
};

}  // namespace headrace::actors
