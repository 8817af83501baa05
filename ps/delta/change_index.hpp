#pragma once

#include "base/ids.hpp"
#include "ps/delta/delta_feed.hpp"
#include "ps/table/row_update.hpp"
#include "schemas/push.hpp"

#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <span>
#include <vector>

namespace headrace::ps {

/// Which rows of one shard changed, for those who follow it (design §8). The shard tells it of each
/// record it applies (`shard::report_changes`); each subscriber has a feed.
///
/// What is told is appended to a list (16 bytes a row), and the list is sorted and handed to every
/// feed when a delta is planned or it holds `fold_rows`. Without a feed nothing is kept.
/// Single-threaded: the shard's owner.
class change_index {
 public:
  /// `row_bytes` of each table: what one row takes in a delta.
  explicit change_index(std::vector<std::size_t> row_bytes, std::size_t fold_rows = 65'536);

  // ---- what the shard tells ----

  bool has_followers() const { return !feeds_.empty(); }
  /// Rows of this block were updated by a record.
  void updated(const schemas::row_block& block, const row_admissions& admitted);
  /// These are no more: removed by a record, or found to be idle for too long.
  void removed(table_id table, std::span<const std::uint64_t> keys);
  /// The shard is there now; what was told before is part of it.
  void applied(lsn at, std::uint64_t version);

  // ---- who follows ----

  /// A session from nothing; `add_first` of the feed is the caller's (delta_builder.hpp,
  /// `begin_feed`). Stays where it is until it is closed.
  delta_feed& open(std::uint64_t session, const feed_limits& limits);
  void close(const delta_feed& feed);
  /// delta_feed::plan with all that was told until now. `accepted_ms`: every event accepted before
  /// it has been applied.
  std::optional<delta_plan> plan(delta_feed& feed, std::uint64_t accepted_ms, bool beat = false);

  /// Rows told and not yet handed on.
  std::size_t unsorted_rows() const { return rows_; }

 private:
  struct told {
    std::vector<pending_row> rows;
    std::vector<std::size_t> ends;  // of the sorted runs in them
  };
  void end_run(told& of);
  void fold();

  std::vector<std::size_t> row_bytes_;
  std::size_t fold_rows_;
  std::vector<told> told_;  // of each table
  std::size_t rows_ = 0;
  std::list<delta_feed> feeds_;
  feed_position head_;
};

}  // namespace headrace::ps
