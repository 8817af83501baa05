#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "ps/table/table.hpp"
#include "schemas/schema.hpp"
#include "storage/row_store.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

/// Between a shard's tables and the row store: rows are written and read whole. Positions are the
/// shard's business.
namespace headrace::ps {

/// Table of a row that every batch carries: its lsn is the newest that any stored row of the shard
/// has. A log that ends before it has lost records, whatever the position says.
inline constexpr table_id tail_mark_table{0xFFFFFFFE};

/// The newest record that a stored row carries; none in a folder written before there was a mark,
/// or without rows. Fails: corrupt, io_error.
result<std::optional<lsn>> read_tail_mark(shard_id shard, storage::row_store& store);

/// Rows of one shard on their way to the store: copies, so that the shard goes on changing the rows
/// meanwhile. A row in a batch stays in its table until the batch has `landed` or is `lost`.
///
/// The owner fills it, any thread writes it once, the owner ends it.
class row_batch {
 public:
  /// Copies the row and takes its dirty mark.
  void add(const table& from, row_header& row);
  std::size_t rows() const { return rows_.size(); }
  bool empty() const { return rows_.empty(); }

  /// Says how far the shard was when the last row was added.
  void seal(lsn applied) { applied_ = applied; }
  /// Writes everything, the tail mark with it. Fails as row_store::write.
  result<void> write(shard_id shard, storage::row_store& store);
  /// The store has the rows: those not changed since are clean.
  void landed();
  /// The store may or may not have them: all are dirty again.
  void lost(std::span<table> tables);

 private:
  struct copied {
    storage::stored_row row;  // payload is set when written
    std::size_t offset;       // of it in `bytes_`
    std::size_t size;
    row_header* from;
  };
  std::vector<copied> rows_;
  std::vector<std::byte> bytes_;
  lsn applied_;
};

/// The rows that one write-back has to copy, taken from the tables' dirty lists at its beginning.
/// Rows changed later belong to the next one.
class dirty_rows {
 public:
  dirty_rows() = default;
  explicit dirty_rows(std::span<table> tables);

  /// Copies up to `rows_max` rows into the batch.
  void copy(std::size_t rows_max, row_batch& to);
  bool empty() const { return lists_.empty(); }
  /// Gives back what was not copied.
  void give_up();

 private:
  struct list {
    table* of;
    std::vector<row_header*> rows;
  };
  std::vector<list> lists_;
};

/// Makes the stored row in its table, clean. The key has none there. Fails: corrupt (a row of no
/// table, of another width or of another shard).
result<void> take_stored_row(std::span<table> tables,
                             shard_id shard,
                             std::uint32_t shards,
                             const storage::stored_row& row);

/// Fills empty tables with the shard's stored rows and gives the newest record that any of them
/// carries. Fails: corrupt (as `take_stored_row`, or a row twice), io_error.
result<lsn> read_rows(std::span<table> tables,
                      shard_id shard,
                      std::uint32_t shards,
                      storage::row_store& store);

}  // namespace headrace::ps
