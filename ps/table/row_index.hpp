#pragma once

#include "base/random.hpp"
#include "ps/table/huge_region.hpp"
#include "ps/table/row_slab.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::ps {

/// Finds the row of a key: open addressing, linear probing, 8 bytes a slot (32-bit tag, row
/// number), load up to 5/8, huge pages. A tag that agrees is checked against the key in the row's
/// header.
///
/// The place is the high bits of mix64(key ^ secret), never the bits that choose the shard: sharing
/// them costs 12 probes instead of 1.3, and a hash without a secret invites floods. Growing makes a
/// table of twice the size and moves a few rows with every insert (`advance`), so that no insert
/// waits for all of them. A delete shifts the slots behind it back, so there are no graves. The
/// row_slab must outlive the index. Single-threaded.
class row_index {
 public:
  row_index(const row_slab& rows, std::uint64_t secret);

  /// For each key the row's header, or null. Probes of many keys overlap by prefetch.
  void find(std::span<const std::uint64_t> keys, std::span<row_header*> rows) const;
  row_header* find(std::uint64_t key) const;

  /// Adds `row`; its key must not be in the index. While growing, the newest row of the slab.
  void insert(std::uint32_t row);
  /// Takes out a key that is there and gives its row, whose header must still hold the key. Not
  /// while growing.
  std::uint32_t erase(std::uint64_t key);
  /// Moves up to `rows` rows of an unfinished growth.
  void advance(std::size_t rows);
  bool growing() const { return former_.slots != nullptr; }

  std::size_t size() const { return size_; }
  std::size_t bytes() const { return table_.memory.size() + former_.memory.size(); }
  /// Most slots that an insert had to look at.
  std::size_t probe_max() const { return probe_max_; }

 private:
  struct slot {
    std::uint32_t tag;
    std::uint32_t row;  // number + 1; 0 = free
  };
  struct slot_table {
    slot_table() = default;
    explicit slot_table(std::size_t slots_log2);
    std::size_t home(std::uint64_t hash) const { return hash >> shift; }

    huge_region memory;
    slot* slots = nullptr;
    std::size_t mask = 0;
    unsigned shift = 63;
  };

  std::uint64_t hash_of(std::uint64_t key) const { return mix64(key ^ secret_); }
  row_header* find_in(const slot_table& in, std::uint64_t key, std::uint64_t hash) const;
  row_header* find_hashed(std::uint64_t key, std::uint64_t hash) const;
  /// Returns the slots it looked at.
  std::size_t place(std::uint32_t row);
  /// Begins a table of twice the size for the first `rows` rows.
  void grow(std::uint32_t rows);

  const row_slab* rows_;
  std::uint64_t secret_;
  slot_table table_;
  slot_table former_;            // while growing: still holds every row below `move_end_`
  std::uint32_t move_next_ = 0;  // rows below it are in `table_`
  std::uint32_t move_end_ = 0;
  std::size_t size_ = 0;
  std::size_t probe_max_ = 0;
};

}  // namespace headrace::ps
