#pragma once

#include "tests/simulation/faulty_row_store.hpp"
#include "tests/simulation/variant.hpp"

#include <map>
#include <tuple>

namespace headrace::simulation {

/// A row store with one mistake, over one without.
class wrong_row_store final : public storage::row_store {
 public:
  wrong_row_store(variant kind, faulty_row_store& rows) : kind_(kind), rows_(rows) {}

  result<void> write(shard_id shard, std::span<const storage::stored_row> rows) override;
  result<void> commit(shard_id shard, const storage::shard_position& position) override;
  result<storage::shard_position> position(shard_id shard) override;
  result<void> read(shard_id shard,
                    table_id table,
                    std::span<const row_key> keys,
                    const std::function<void(const storage::stored_row&)>& visit) override;
  result<void> scan_from(shard_id shard,
                         storage::row_place from,
                         std::size_t rows_max,
                         const std::function<void(const storage::stored_row&)>& visit) override;
  /// The process dies.
  void crash() { late_.clear(); }

 private:
  using place = std::tuple<shard_id, table_id, row_key>;

  bool is(variant mistake) const { return kind_ == mistake; }
  void keep_copies(shard_id shard, std::span<const storage::stored_row> rows);
  result<void> write_late(shard_id shard, std::span<const storage::stored_row> rows);
  /// Visits the row as it is wrongly read.
  void show(shard_id shard,
            const storage::stored_row& row,
            const std::function<void(const storage::stored_row&)>& visit) const;

  variant kind_;
  faulty_row_store& rows_;
  std::map<place, ps::fetched_rows> former_;   // each row before its last write
  std::map<shard_id, ps::fetched_rows> late_;  // one write of each shard that did not land
  std::map<shard_id, storage::shard_position> promised_;  // the rows of which may still be lost
};

}  // namespace headrace::simulation
