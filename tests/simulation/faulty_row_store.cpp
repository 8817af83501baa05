#include "tests/simulation/faulty_row_store.hpp"

#include <algorithm>

namespace headrace::simulation {

result<void> faulty_row_store::write(shard_id shard, std::span<const storage::stored_row> rows) {
  const std::size_t count = std::min(left_.value_or(rows.size()), rows.size());
  if (auto written = rows_.write(shard, rows.first(count)); !written) return written;
  if (!left_) return {};
  if (*left_ < rows.size()) {
    left_.reset();
    return error{errc::disk_full, "stopped in the middle of a write"};
  }
  *left_ -= rows.size();
  return {};
}

result<void> faulty_row_store::commit(shard_id shard, const storage::shard_position& position) {
  if (left_ && *left_ == 0) {
    left_.reset();
    return error{errc::disk_full, "stopped before the commit"};
  }
  if (left_) --*left_;
  return rows_.commit(shard, position);
}

void faulty_row_store::crash(bool rows_survive) {
  left_.reset();
  rows_.crash(rows_survive);
}

}  // namespace headrace::simulation
