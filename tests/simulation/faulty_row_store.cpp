#include "tests/simulation/faulty_row_store.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <utility>

namespace headrace::simulation {

result<void> faulty_row_store::write(shard_id shard, std::span<const storage::stored_row> rows) {
  const auto done = rows.first(std::min(left_.value_or(rows.size()), rows.size()));
  loose_write& loose = loose_.emplace_back(loose_write{shard, {}});
  for (const storage::stored_row& row : done) loose.rows.add(row);
  if (auto written = rows_.write(shard, done); !written) return written;
  if (!left_) return {};
  if (done.size() < rows.size()) {
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
  std::erase_if(loose_, [&](const loose_write& one) { return one.shard == shard; });
  return rows_.commit(shard, position);
}

result<void> faulty_row_store::failed_read() {
  if (!std::exchange(read_fails_, false)) return {};
  return error{errc::io_error, "stopped in the middle of a read"};
}

result<void> faulty_row_store::read(shard_id shard,
                                    table_id table,
                                    std::span<const row_key> keys,
                                    const std::function<void(const storage::stored_row&)>& visit) {
  const auto read =
      rows_.read(shard, table, keys.first(read_fails_ ? keys.size() / 2 : keys.size()), visit);
  const auto failed = failed_read();
  return failed ? read : failed;
}

result<void> faulty_row_store::scan_from(
    shard_id shard,
    storage::row_place from,
    std::size_t rows_max,
    const std::function<void(const storage::stored_row&)>& visit) {
  if (auto failed = failed_read(); !failed) return failed;
  return rows_.scan_from(shard, from, rows_max, visit);
}

void faulty_row_store::heal() {
  left_.reset();
  read_fails_ = false;
}

void faulty_row_store::crash(dice& chance) {
  heal();
  const double stays = static_cast<double>(chance.between(0, 2)) / 2;
  rows_.crash(false);
  for (const loose_write& one : std::exchange(loose_, {})) {
    if (chance.chance(stays)) CHECK(rows_.write(one.shard, one.rows.rows()).ok());
  }
  rows_.crash(true);
}

}  // namespace headrace::simulation
