#pragma once

#include "base/result.hpp"
#include "storage/spill_store.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace headrace::worker {

/// Payloads by place, in blocks of memory that are filled one behind the other, since payloads go
/// in about the order they came; no allocation a payload. A block that is empty is used again; one
/// that is nearly so is emptied into the newest when blocks hold twice what they need. With a store
/// and a budget, the oldest block goes to the store when the blocks exceed it.
///
/// 16 bytes beside the payload and its length, rounded up to 8. One thread. What the store refuses
/// is a `failure` for good: nothing is lost then, but the bound isn't kept and what is in the store
/// can't be had.
class payload_pool {
 public:
  static constexpr std::uint32_t none = UINT32_MAX;

  /// `bytes_max` 0: any.
  payload_pool(std::uint64_t bytes_max, storage::spill_store* store);

  std::uint32_t add(std::span<const std::byte> bytes);
  void remove(std::uint32_t place);
  bool in_memory(std::uint32_t place) const { return places_[place].block != in_store; }
  std::size_t size_of(std::uint32_t place) const { return places_[place].size; }
  /// Of a place in memory; valid until the next `add` or `fetch`.
  std::span<const std::byte> get(std::uint32_t place) const;
  /// Brings back those that are spilled. False: failed.
  bool fetch(std::span<const std::uint32_t> places);
  /// Visits each in order (by its index in `places`), from memory or the store, and leaves it
  /// there. Fails: corrupt, io_error.
  result<void> read(std::span<const std::uint32_t> places,
                    const std::function<void(std::span<const std::byte>)>& visit) const;

  std::uint64_t bytes_in_memory() const { return block_bytes_held_; }
  std::uint64_t bytes_used() const { return used_; }  // of them, by payloads
  std::uint64_t spilled() const { return spilled_; }  // payloads
  bool spills() const { return store_ != nullptr && bytes_max_ > 0; }
  const std::optional<error>& failure() const { return failure_; }

  /// What one of `size` takes of a block.
  static std::size_t cost(std::size_t size) { return 8 + (size + 7) / 8 * 8; }

 private:
  static constexpr std::uint32_t in_store = UINT32_MAX;
  struct location {
    std::uint64_t at = 0;  // in its block, or number in the store
    std::uint32_t block = in_store;
    std::uint32_t size = 0;
  };
  struct block {
    std::unique_ptr<std::byte[]> bytes;  // none: it was empty and is gone
    std::size_t capacity = 0;
    std::size_t filled = 0;
    std::size_t used = 0;  // of filled, by payloads that are still there
  };
  block& block_of(std::uint32_t number) { return blocks_[number - first_block_]; }
  const block& block_of(std::uint32_t number) const { return blocks_[number - first_block_]; }
  void put(std::uint32_t at, std::span<const std::byte> bytes);
  void open_block(std::size_t bytes_min);
  void give_back(block& empty);
  void leave(const location& one);
  template <class Visit>
  void for_each_in(std::uint32_t number, Visit visit) const;
  void empty_oldest();
  void spill_oldest();
  void keep_bounds();
  void forget_in_store(std::uint64_t number);
  void fail(const error& why);

  std::uint64_t bytes_max_;
  storage::spill_store* store_;
  std::size_t block_bytes_;
  std::vector<location> places_;
  std::vector<std::uint32_t> free_;
  std::deque<block> blocks_;  // oldest first; the last is being filled
  std::uint32_t first_block_ = 0;
  std::vector<std::unique_ptr<std::byte[]>> spare_;  // of block_bytes_
  std::uint64_t block_bytes_held_ = 0;               // spare ones too
  std::uint64_t used_ = 0;
  std::uint64_t spilled_ = 0;
  std::uint64_t next_number_ = 0;
  std::vector<std::uint64_t> dead_;  // in the store, no longer needed
  std::optional<error> failure_;
};

}  // namespace headrace::worker
