#pragma once

#include "base/ids.hpp"
#include "ps/table/row_header.hpp"
#include "ps/table/row_shape.hpp"
#include "schemas/schema.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

namespace headrace::ps {

/// Rows of one table on one shard that lie in DRAM: collisionless (every key has a row of its own),
/// in huge-page slabs behind an open-addressing index.
///
/// The index uses the high bits of mix64(key ^ process secret): sharing the shard's low bits would
/// cost probes and a public hash invites floods. A row stays where it is until it is dropped.
/// Iteration order is not defined and must not become visible. Single-threaded.
///
/// A table is *complete* while every row it has lies here; else a key that is not found may be in
/// the row store, and the shard asks there first (ps/shard/working_set.hpp).
class table {
 public:
  explicit table(const schemas::table_spec& spec);
  ~table();
  table(table&&) noexcept;
  table& operator=(table&&) noexcept;

  const schemas::table_spec& spec() const;
  const row_shape& shape() const;

  /// For each key the row's header, or null where none lies here. Prefetches across the batch.
  void find(std::span<const std::uint64_t> keys, std::span<row_header*> rows) const;
  row_header* find(std::uint64_t key) const;
  /// As `find`, but makes absent rows with their initial payload, lsn 0 and count 0. Keys are
  /// pairwise different.
  void find_or_make(std::span<const std::uint64_t> keys, std::span<row_header*> rows);
  /// The row of a key that has none here (a bug otherwise), zeroed but for the key: to be filled
  /// from the row store, or to become a tombstone.
  row_header* make(std::uint64_t key);
  /// A row that `make` made was filled from the store: what it says of its uses decides whether it
  /// stays (ps/table/eviction.hpp).
  void arrived(row_header& row);
  /// So many rows here were used by a record of this stamp.
  void used(std::size_t rows, std::uint64_t stamp_ms);
  /// Forgets a row that lies here. Not while `growing`.
  void drop(row_header* row);

  /// Makes a row a tombstone, or a row again.
  void set_removed(row_header& row, bool removed);
  /// Rows here that are not tombstones.
  std::size_t standing() const;

  /// The row differs from what the row store has.
  void mark_dirty(row_header& row);
  /// Rows that were marked since the last call. They keep their mark, and are not dropped while
  /// they have it.
  std::vector<row_header*> take_dirty();
  std::size_t dirty() const;

  bool complete() const;
  void set_complete(bool complete);
  /// Its index is being rebuilt, a little with each call of `find_or_make` and `make`.
  bool growing() const;

  /// Drops rows that are known least until the table keeps its memory budget
  /// (ps/table/eviction.hpp). A row goes only if it is clean, not pinned, and was last changed by a
  /// record at or before `settled`. Looks at about `scan_max` rows at most and gives the number of
  /// rows dropped that the store has.
  std::size_t evict(lsn settled, std::size_t scan_max);
  /// Visits rows behind the hand of a slow sweep, `scan_max` of them, each once a round.
  void sweep(std::size_t scan_max, const std::function<void(row_header&)>& see);
  /// Holds more than its budget.
  bool over_budget() const;
  /// Holds so much more that nothing new may come before rows were written back.
  bool far_over_budget() const;

  std::size_t rows() const;
  /// Memory held by rows and index.
  std::size_t bytes() const;

  void visit(const std::function<void(row_header&)>& see);
  void visit(const std::function<void(const row_header&)>& see) const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace headrace::ps
