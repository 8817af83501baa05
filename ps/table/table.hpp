#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "base/ids.hpp"
#include "schemas/schema.hpp"

namespace headrace::ps {

/// Header in front of a row's floats; with them one record, never split (design §4).
struct row_header {
  std::uint64_t key;
  std::uint64_t lsn;
  std::uint64_t last_seen_ms;
  std::uint32_t count;  // occurrences pushed, saturating
  std::uint32_t flags;
};

/// Rows of one table on one shard: collisionless (every key has a row of its own), in huge-page slabs
/// behind an open-addressing index.
///
/// The index uses the high bits of mix64(key ^ process secret): sharing the shard's low bits would cost
/// probes and a public hash invites floods. Rows never move while the table lives, so a `float*`
/// stays good. Iteration order is not defined and must not become visible. Single-threaded.
class table {
 public:
  explicit table(const schemas::table_spec& spec);
  ~table();
  table(table&&) noexcept;
  table& operator=(table&&) noexcept;

  const schemas::table_spec& spec() const;
  /// Floats behind a header: dim weights, then optimizer state (dim for adagrad, none otherwise).
  std::size_t floats_per_row() const;

  /// For each key the row's header, or null when absent. Prefetches across the batch.
  void find(std::span<const std::uint64_t> keys, std::span<row_header*> rows) const;
  /// As `find`, but makes absent rows with their initial values, lsn 0 and count 0.
  void find_or_make(std::span<const std::uint64_t> keys, std::span<row_header*> rows);

  static float* floats(row_header* row) { return reinterpret_cast<float*>(row + 1); }
  static const float* floats(const row_header* row) {
    return reinterpret_cast<const float*>(row + 1);
  }

  std::size_t rows() const;
  /// Memory held, index included.
  std::size_t bytes() const;
  /// Longest probe any lookup needed, for metrics.
  std::size_t probe_max() const;

  void visit(const std::function<void(row_header&)>& see);
  void visit(const std::function<void(const row_header&)>& see) const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace headrace::ps
