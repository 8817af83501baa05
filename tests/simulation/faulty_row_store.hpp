#pragma once

#include "ps/shard/working_set.hpp"
#include "storage/memory_row_store.hpp"
#include "tests/simulation/profile.hpp"

#include <deque>
#include <optional>
#include <span>

namespace headrace::simulation {

/// A memory row store that fails once when told to, in the middle of what it is doing, and of which
/// a crash leaves any part that no commit made durable.
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
                    const std::function<void(const storage::stored_row&)>& visit) override;
  result<void> scan_from(shard_id shard,
                         storage::row_place from,
                         std::size_t rows_max,
                         const std::function<void(const storage::stored_row&)>& visit) override;

  /// After so many further rows a write stops, with errc::disk_full; a commit counts as one row.
  void fail_write_after(std::size_t rows) { left_ = rows; }
  /// The next read gives errc::io_error.
  void fail_read() { read_fails_ = true; }
  /// Forgets failures that have not struck yet.
  void heal();
  /// The process dies: of the writes that no commit followed, all, none or some are lost.
  void crash(dice& chance);

 private:
  /// One write that no commit followed yet.
  struct loose_write {
    shard_id shard;
    ps::fetched_rows rows;
  };
  result<void> failed_read();

  storage::memory_row_store rows_;
  std::deque<loose_write> loose_;  // in the order of writes
  std::optional<std::size_t> left_;
  bool read_fails_ = false;
};

}  // namespace headrace::simulation
