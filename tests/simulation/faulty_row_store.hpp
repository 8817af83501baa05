#pragma once

#include "storage/memory_row_store.hpp"

#include <optional>
#include <span>

namespace headrace::simulation {

/// A memory row store that fails once, in the middle of what it is doing, when told to.
class faulty_row_store final : public storage::row_store {
 public:
  result<void> write(shard_id shard, std::span<const storage::stored_row> rows) override;
  result<void> commit(shard_id shard, const storage::shard_position& position) override;
  result<storage::shard_position> position(shard_id shard) override {
    return rows_.position(shard);
  }
  result<void> read(shard_id shard,
                    table_id table,
                    std::span<const row_key> keys,
                    const std::function<void(const storage::stored_row&)>& visit) override {
    return rows_.read(shard, table, keys, visit);
  }
  result<void> scan_from(shard_id shard,
                         storage::row_place from,
                         std::size_t rows_max,
                         const std::function<void(const storage::stored_row&)>& visit) override {
    return rows_.scan_from(shard, from, rows_max, visit);
  }

  /// After so many further rows the next write stops; a commit counts as one row.
  void fail_after(std::size_t rows) { left_ = rows; }
  /// Whether the failure told above has not struck yet; forgets it.
  void heal() { left_.reset(); }
  /// The process dies: rows of a flush that did not commit are lost, or stay.
  void crash(bool rows_survive);

 private:
  storage::memory_row_store rows_;
  std::optional<std::size_t> left_;
};

}  // namespace headrace::simulation
