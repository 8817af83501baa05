#pragma once

#include "storage/row_store.hpp"

#include <deque>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace headrace::storage {

/// Rows in memory, for tests and the simulator. Thread-safe, as the engine it stands for.
class memory_row_store final : public row_store {
 public:
  result<void> write(shard_id shard, std::span<const stored_row> rows) override;
  result<void> commit(shard_id shard, const shard_position& position) override;
  result<shard_position> position(shard_id shard) override;
  result<void> read(shard_id shard,
                    table_id table,
                    std::span<const row_key> keys,
                    const std::function<void(const stored_row&)>& visit) override;
  result<void> scan_from(shard_id shard,
                         row_place from,
                         std::size_t rows_max,
                         const std::function<void(const stored_row&)>& visit) override;

  /// The process is killed: what was not committed is gone, or stays in the store when
  /// `rows_survive` (both may happen, to removals too; the position never moves). Positions and
  /// committed rows stay.
  void crash(bool rows_survive);
  /// The next write or commit fails with `code` and changes nothing; call again for the ones behind
  /// it.
  void fail_next(errc code);

 private:
  struct row {
    lsn at;
    std::uint64_t last_seen_ms = 0;
    std::uint32_t count = 0;
    std::uint32_t flags = 0;
    std::vector<std::byte> payload;
    bool removed = false;  // only in `written`: hides the committed row
  };
  using row_map = std::map<std::pair<table_id, row_key>, row>;
  struct shard_rows {
    row_map committed;  // no removed ones
    row_map written;    // newer than `committed`
    shard_position position;

    void settle();  // `written` becomes committed
  };
  result<void> failure();
  static stored_row view(const row_map::value_type& one);

  std::mutex mutex_;  // guards everything below
  std::map<shard_id, shard_rows> shards_;
  std::deque<errc> failures_;
};

}  // namespace headrace::storage
