#pragma once

#include "base/result.hpp"
#include "ps/shard/shard.hpp"
#include "ps/shard/working_set.hpp"
#include "storage/ordered_log.hpp"
#include "storage/row_store.hpp"

#include <cstddef>
#include <functional>
#include <vector>

namespace headrace::ps {

/// Redoes records of a log in their order, a window of them at a time: the rows that they need and
/// that are not in DRAM are read at once, in the order of keys. Record by record each block of the
/// store would be read again and again.
///
/// Shard and store must outlive it. Reads on the calling thread. Single-threaded.
class redo_window {
 public:
  /// Rows of a window come to DRAM together: `rows_max` where tables have a budget, else 16 times
  /// as many. `after_each` window, when given, may drop rows.
  redo_window(shard& state,
              storage::row_store& store,
              std::size_t rows_max,
              std::function<result<void>()> after_each = nullptr);

  /// Takes the next record; `deciding` as shard::redo_deciding. Fails: corrupt, io_error, and as
  /// `after_each`.
  result<void> add(const storage::log_record& record, bool deciding = false);
  /// Redoes what still waits.
  result<void> finish();

 private:
  struct entry {
    storage::log_record record;
    working_set rows;
    bool deciding;
  };
  result<working_set> needed(const storage::log_record& record, bool deciding);
  result<void> apply(const storage::log_record& record, bool deciding);
  result<void> fetch();

  shard& state_;
  storage::row_store& store_;
  std::size_t rows_max_;
  std::function<result<void>()> after_each_;
  std::vector<entry> waiting_;
  std::size_t rows_ = 0;   // that they name
  std::size_t bytes_ = 0;  // of the records
};

}  // namespace headrace::ps
