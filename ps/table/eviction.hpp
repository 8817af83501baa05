#pragma once

#include "base/ids.hpp"
#include "ps/table/row_header.hpp"
#include "ps/table/row_slab.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>

namespace headrace::ps {

/// Says which rows of a table leave when it holds more than it may: `clock_history` of
/// docs/caching.md, a hand over the rows' places and the rows' own records.
///
/// The hand takes one from the counter of uses in each header it meets and stops at a row with
/// none: the victim. Each row that came while the table was full is a *newcomer* until it is
/// compared with a victim: if it is known better (ps/cache/use_history.hpp), the victim leaves;
/// otherwise the newcomer becomes a *first victim*, and another of those leaves, oldest first, once
/// a tenth of the rows are. The hand passes newcomers and first victims by.
///
/// Only rows that are clean, not pinned, and last changed at or before `settled` leave. Emits
/// nothing and changes no value: digests and redo don't depend on it. Rows may be dropped by others
/// meanwhile. The row_slab must outlive it. Single-threaded.
class eviction {
 public:
  /// `rows_max` = 0: the table never evicts, and nothing is noted.
  eviction(row_slab& rows, std::size_t rows_max);

  /// So many rows were used by a record of this stamp.
  void used(std::size_t rows, std::uint64_t stamp_ms);
  /// A row has come to the table: with the record that it brings along, if it was stored, before
  /// this use changes it.
  void arrived(row_header& row);

  /// The next row to leave; it must be dropped now. Null when none may, or when `steps` rows were
  /// looked at, which it counts down.
  row_header* next(lsn settled, std::size_t& steps);

  std::size_t first_victims() const { return first_victims_.size(); }
  /// Idle time that halves how well a row is known; 0 = not known yet.
  std::uint64_t half_life_ms() const;

 private:
  struct newcomer {
    row_header* row;
    std::uint32_t known;  // this use included
  };
  bool over() const { return rows_max_ > 0 && rows_->live() > rows_max_; }
  std::uint32_t known(const row_header& row) const;
  row_header* victim(lsn settled, std::size_t& steps);
  row_header* first_victim(lsn settled, std::size_t& steps);
  void forget_marks();
  void pass();

  row_slab* rows_;
  std::size_t rows_max_;
  std::size_t first_victims_max_;
  std::uint32_t hand_ = 0;
  std::size_t in_vain_ = 0;  // places the hand has passed since it met a row that may leave
  std::deque<newcomer> newcomers_;
  std::deque<row_header*> first_victims_;
  // Of the half-life: when the table had used as many rows as it holds, the last four times.
  std::array<std::uint64_t, 4> noted_ms_{};
  std::size_t notes_ = 0;
  std::size_t used_since_note_ = 0;
  std::uint64_t now_ms_ = 0;  // newest stamp
};

}  // namespace headrace::ps
