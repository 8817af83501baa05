#pragma once

#include "ps/table/row_header.hpp"
#include "schemas/schema.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

namespace headrace::ps {

/// Rows of one table on one shard: collisionless (every key has a row of its own), in huge-page
/// slabs behind an open-addressing index.
///
/// The index uses the high bits of mix64(key ^ process secret): sharing the shard's low bits would
/// cost probes and a public hash invites floods. Rows never move while the table lives, so a
/// `float*` stays good. Iteration order is not defined and must not become visible.
/// Single-threaded.
class table {
 public:
  explicit table(const schemas::table_spec& spec);
  ~table();
  table(table&&) noexcept;
  table& operator=(table&&) noexcept;

  const schemas::table_spec& spec() const;
  /// Floats behind a header: dim weights, then optimizer state (dim accumulators for adagrad, none
  /// otherwise).
  std::size_t floats_per_row() const;

  /// For each key the row's header, or null when absent. Prefetches across the batch.
  void find(std::span<const std::uint64_t> keys, std::span<row_header*> rows) const;
  row_header* find(std::uint64_t key) const;
  /// As `find`, but makes absent rows with their initial values, lsn 0 and count 0. Keys are
  /// pairwise different.
  void find_or_make(std::span<const std::uint64_t> keys, std::span<row_header*> rows);
  /// The row of a key that has none (a bug otherwise), zeroed but for the key: to be filled from
  /// the row store.
  row_header* make(std::uint64_t key);

  static float* floats(row_header* row) { return reinterpret_cast<float*>(row + 1); }
  static const float* floats(const row_header* row) {
    return reinterpret_cast<const float*>(row + 1);
  }

  std::size_t rows() const;
  /// Memory held, index included.
  std::size_t bytes() const;
  /// Most index slots that an insert had to look at, for metrics.
  std::size_t probe_max() const;

  void visit(const std::function<void(row_header&)>& see);
  void visit(const std::function<void(const row_header&)>& see) const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace headrace::ps
