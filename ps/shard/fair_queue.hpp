#pragma once

#include "base/check.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace headrace::ps {

/// How much may wait in a fair_queue, and how much of a source is taken in one turn. Costs are in
/// any unit, bytes by custom.
struct fair_queue_limits {
  std::uint64_t quantum = std::uint64_t{256} << 10;         // of one source in one turn
  std::uint64_t source_cost_max = std::uint64_t{64} << 20;  // of one source, waiting
  std::uint64_t cost_max = std::uint64_t{512} << 20;        // of all sources, waiting
};

/// Items of many sources, taken in deficit round robin (Shreedhar & Varghese, SIGCOMM'95): each
/// turn gives a source `quantum`, what it does not use is kept while it waits. Two sources that
/// both wait all the time differ by less than one quantum and two items in what was taken of them,
/// however many items either sent; items of one source keep their order.
///
/// A source is known only while it has items. `pop` looks at each source at most cost / quantum
/// times. Single-threaded: its owner's.
template <class Item>
class fair_queue {
 public:
  explicit fair_queue(const fair_queue_limits& limits = {}) : limits_(limits) {
    CHECK(limits.quantum >= 1);
  }

  /// False, and `item` untouched, where the source or all of them have reached their bound; a
  /// source with nothing waiting may always bring one item while `cost_max` is not reached.
  [[nodiscard]] bool push(std::string_view source, std::uint64_t cost, Item&& item) {
    if (cost_ >= limits_.cost_max) return false;
    auto at = flows_.find(source);
    if (at == flows_.end()) {
      at = flows_.emplace(std::string(source), flow{}).first;
      turns_.push_back(at);
    } else if (at->second.cost + cost > limits_.source_cost_max) {
      return false;
    }
    at->second.items.push_back({cost, std::move(item)});
    at->second.cost += cost;
    cost_ += cost;
    ++size_;
    return true;
  }

  /// The next item in turn; nothing when empty.
  std::optional<Item> pop() {
    while (!turns_.empty()) {
      flow& first = turns_.front()->second;
      if (!std::exchange(first.in_turn, true)) first.deficit += limits_.quantum;
      if (first.items.front().cost <= first.deficit) return take();
      first.in_turn = false;
      turns_.splice(turns_.end(), turns_, turns_.begin());
    }
    return std::nullopt;
  }

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  /// Of all that waits.
  std::uint64_t cost() const { return cost_; }
  std::size_t sources() const { return flows_.size(); }

 private:
  struct entry {
    std::uint64_t cost;
    Item item;
  };
  struct flow {
    std::deque<entry> items;
    std::uint64_t cost = 0;
    std::uint64_t deficit = 0;
    bool in_turn = false;  // has been given this turn's quantum
  };
  using flow_map = std::map<std::string, flow, std::less<>>;

  Item take() {
    const auto at = turns_.front();
    flow& of = at->second;
    entry taken = std::move(of.items.front());
    of.items.pop_front();
    of.deficit -= taken.cost;
    of.cost -= taken.cost;
    cost_ -= taken.cost;
    --size_;
    if (of.items.empty()) {
      turns_.pop_front();
      flows_.erase(at);
    }
    return std::move(taken.item);
  }

  fair_queue_limits limits_;
  flow_map flows_;
  std::list<typename flow_map::iterator> turns_;  // whose turn it is first
  std::uint64_t cost_ = 0;
  std::size_t size_ = 0;
};

}  // namespace headrace::ps
