#pragma once

#include "base/ids.hpp"
#include "schemas/delta.hpp"
#include "schemas/schema.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace headrace::serve {

/// Rows of one table as a replica holds them: in the codec they come in, written by one thread and
/// read by many. A reader never sees half of a row, and takes no lock but to get hold of the index.
///
/// Each row has a counter that is odd while the row is written: a reader copies the row and takes
/// the copy only if the counter was even and did not move; else it tries again, which takes
/// nanoseconds unless the writer lost its processor in the middle of that row: after 100 tries it
/// gives up its own each time. Its words are atomic and written with release order behind the odd
/// counter, read with acquire order before the counter is read again: whoever saw a word of the new
/// row sees the counter moved. Keys are found by open addressing; entries are never taken out of an
/// index. A full one is replaced by a new one without the rows that are gone, which only then may
/// get another key; a reader of the former index finds a row of another key and looks again in the
/// new one. Row memory is never given back.
class replica_rows {
 public:
  /// `secret` places keys in the index: a flood cannot be aimed at it.
  replica_rows(const schemas::table_spec& spec, schemas::value_codec held, std::uint64_t secret);
  ~replica_rows();

  schemas::value_codec held() const { return held_; }

  // ---- one thread ----
  // Where memory ends (bad_alloc) some rows are as asked for, none is torn, and the same call may
  // be made again.

  /// Writes the rows of a block, which is of this table's dim and codec. `mark` stays with them.
  void put(const schemas::delta_block& block, std::uint32_t mark);
  void remove(std::span<const std::uint64_t> keys);
  /// Removes the rows of one shard of `shards` whose mark is another. Returns how many.
  std::size_t remove_unmarked(std::uint32_t mark, shard_id of, std::uint32_t shards);

  // ---- any thread ----

  /// values [keys, dim]: each row as it is held, made f32. A key without a row gets what a new row
  /// starts with, as a pull from the shard says; returns how many did. `absent` [keys], where it is
  /// wanted: 1 for those.
  std::size_t read(std::span<const std::uint64_t> keys,
                   std::span<float> values,
                   std::span<std::uint8_t> absent = {}) const;
  std::size_t rows() const { return live_.load(std::memory_order_relaxed); }
  /// Memory of rows and index.
  std::size_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

 private:
  using word = std::uint64_t;
  struct slot {
    std::atomic<std::uint64_t> key;
    std::atomic<std::uint32_t> row;  // number + 1; 0 = free
  };
  struct index;
  enum class found : std::uint8_t { live, absent, another };

  word* at(std::uint32_t row) const;
  std::shared_ptr<const index> current() const;
  /// The row of the key, live from now on; made where there is none.
  std::uint32_t row_for(std::uint64_t key);
  std::uint32_t make_row();
  void write(std::uint32_t row, std::uint64_t key, std::uint64_t state, const std::byte* stored);
  void erase(std::uint32_t row);
  void rebuild();
  found copy(std::uint32_t row, std::uint64_t key, std::byte* stored) const;
  /// Looks again in the newest index until the row is that of the key.
  found find_again(std::uint64_t key, std::byte* stored) const;
  void make_absent(std::span<const std::uint64_t> keys, std::span<float> values) const;

  schemas::table_spec spec_;
  schemas::value_codec held_;
  std::uint64_t secret_;
  std::size_t stored_bytes_;
  std::size_t row_words_;
  std::array<std::atomic<word*>, 22> chunks_{};  // of 1,024, 2,048, 4,096 … rows
  std::uint32_t rows_made_ = 0;
  std::vector<std::uint32_t> free_;
  std::size_t entries_ = 0;  // of the index
  std::shared_ptr<index> index_;
  mutable std::mutex index_mutex_;  // guards the pointer `index_`; what it points to is atomic
  std::atomic<std::size_t> live_{0};
  std::atomic<std::size_t> bytes_{0};
};

}  // namespace headrace::serve
