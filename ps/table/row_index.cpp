#include "ps/table/row_index.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

namespace headrace::ps {
namespace {

constexpr unsigned first_log2 = 9;  // 512 slots: one small page
constexpr std::size_t load_num = 5;
constexpr std::size_t load_den = 8;
// A growth of n rows ends after n / 8 inserts, long before the next one begins.
constexpr std::size_t moved_per_insert = 8;
// Probes longer than this grow the table early, down to a load of 1/8: chance does not make them.
constexpr std::size_t probe_bound = 256;
// Keys in flight between the stages of a batched find; 16 to 32 measured alike
// (ps/shard/shard.bench.cpp).
constexpr std::size_t lookahead = 16;

std::uint32_t tag_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash); }

}  // namespace

row_index::slot_table::slot_table(std::size_t slots_log2)
    : memory(sizeof(slot) << slots_log2),
      slots(reinterpret_cast<slot*>(memory.data())),
      mask((std::size_t{1} << slots_log2) - 1),
      shift(static_cast<unsigned>(64 - slots_log2)) {}

row_index::row_index(const row_slab& rows, std::uint64_t secret)
    : rows_(&rows), secret_(secret), table_(first_log2) {}

row_header* row_index::find_in(const slot_table& in, std::uint64_t key, std::uint64_t hash) const {
  for (std::size_t at = in.home(hash);; at = (at + 1) & in.mask) {
    const slot seen = in.slots[at];
    if (seen.row == 0) return nullptr;
    if (seen.tag != tag_of(hash)) continue;
    row_header* row = rows_->at(seen.row - 1);
    if (row->key == key) return row;
  }
}

row_header* row_index::find_hashed(std::uint64_t key, std::uint64_t hash) const {
  row_header* row = find_in(table_, key, hash);
  if (row == nullptr && growing()) row = find_in(former_, key, hash);
  return row;
}

row_header* row_index::find(std::uint64_t key) const { return find_hashed(key, hash_of(key)); }

void row_index::find(std::span<const std::uint64_t> keys, std::span<row_header*> rows) const {
  CHECK(rows.size() == keys.size());
  // Three stages, each `lookahead` keys behind the one before: ask for the slot; read it and ask
  // for the row; read the row's key. A key whose first agreeing tag is not its own is probed again
  // at the end.
  std::array<std::uint64_t, 4 * lookahead> hashes;
  constexpr std::size_t ring = 4 * lookahead - 1;
  const std::size_t n = keys.size();
  for (std::size_t i = 0; i < n + 2 * lookahead; ++i) {
    if (i < n) {
      const std::uint64_t hash = hash_of(keys[i]);
      hashes[i & ring] = hash;
      __builtin_prefetch(table_.slots + table_.home(hash));
    }
    if (const std::size_t j = i - lookahead; i >= lookahead && j < n) {
      const std::uint64_t hash = hashes[j & ring];
      std::size_t at = table_.home(hash);
      slot seen = table_.slots[at];
      while (seen.row != 0 && seen.tag != tag_of(hash)) {
        at = (at + 1) & table_.mask;
        seen = table_.slots[at];
      }
      row_header* row = seen.row == 0 ? nullptr : rows_->at(seen.row - 1);
      __builtin_prefetch(row);
      rows[j] = row;
    }
    if (const std::size_t j = i - 2 * lookahead; i >= 2 * lookahead) {
      row_header* row = rows[j];
      const bool found = row != nullptr && row->key == keys[j];
      if (!found && (row != nullptr || growing())) rows[j] = find_hashed(keys[j], hashes[j & ring]);
    }
  }
}

std::size_t row_index::place(std::uint32_t row) {
  const std::uint64_t hash = hash_of(rows_->at(row)->key);
  std::size_t at = table_.home(hash);
  std::size_t probes = 1;
  for (; table_.slots[at].row != 0; ++probes) at = (at + 1) & table_.mask;
  table_.slots[at] = {tag_of(hash), row + 1};
  probe_max_ = std::max(probe_max_, probes);
  return probes;
}

void row_index::insert(std::uint32_t row) {
  CHECK(!growing() || row + 1 == rows_->rows());
  ++size_;
  if (growing()) {
    advance(moved_per_insert);
    place(row);
    return;
  }
  const bool crowded = place(row) > probe_bound && size_ * 8 > table_.mask;
  if (crowded || size_ * load_den > (table_.mask + 1) * load_num) grow(rows_->rows());
}

std::uint32_t row_index::erase(std::uint64_t key) {
  CHECK(!growing());
  const std::uint64_t hash = hash_of(key);
  std::size_t hole = table_.home(hash);
  while (true) {
    const slot seen = table_.slots[hole];
    CHECK(seen.row != 0);
    if (seen.tag == tag_of(hash) && rows_->at(seen.row - 1)->key == key) break;
    hole = (hole + 1) & table_.mask;
  }
  const std::uint32_t row = table_.slots[hole].row - 1;
  // What was pushed past the hole moves back into it, unless it would come before its own home.
  for (std::size_t at = (hole + 1) & table_.mask; table_.slots[at].row != 0;
       at = (at + 1) & table_.mask) {
    const std::size_t home = table_.home(hash_of(rows_->at(table_.slots[at].row - 1)->key));
    if (((at - home) & table_.mask) < ((at - hole) & table_.mask)) continue;
    table_.slots[hole] = table_.slots[at];
    hole = at;
  }
  table_.slots[hole] = {};
  --size_;
  return row;
}

void row_index::grow(std::uint32_t rows) {
  CHECK(!growing());
  const auto slots_log2 = static_cast<std::size_t>(std::countr_zero(table_.mask + 1));
  former_ = std::exchange(table_, slot_table(slots_log2 + 1));
  move_next_ = 0;
  move_end_ = rows;
}

void row_index::advance(std::size_t rows) {
  if (!growing()) return;
  const auto until =
      static_cast<std::uint32_t>(std::min<std::size_t>(move_end_, std::size_t{move_next_} + rows));
  for (; move_next_ < until; ++move_next_) {
    if (!rows_->is_free(move_next_)) place(move_next_);
  }
  if (move_next_ == move_end_) former_ = slot_table();
}

}  // namespace headrace::ps
