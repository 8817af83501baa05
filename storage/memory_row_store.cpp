#include "storage/memory_row_store.hpp"

#include <string>

namespace headrace::storage {

result<void> memory_row_store::failure() {
  if (failures_.empty()) return {};
  const errc code = failures_.front();
  failures_.pop_front();
  return error{code, "failed by plan"};
}

result<void> memory_row_store::write(shard_id shard, std::span<const stored_row> rows) {
  const std::lock_guard lock(mutex_);
  if (auto failed = failure(); !failed) return failed;
  auto& written = shards_[shard].written;
  for (const auto& one : rows) {
    written[{one.table, one.key}] = row{
        one.lsn, one.last_seen_ms, one.count, one.flags, {one.floats.begin(), one.floats.end()}};
  }
  return {};
}

result<void> memory_row_store::commit(shard_id shard, const shard_position& position) {
  const std::lock_guard lock(mutex_);
  if (auto failed = failure(); !failed) return failed;
  auto& of = shards_[shard];
  of.written.merge(of.committed);  // newer ones win
  of.committed.swap(of.written);
  of.written.clear();
  of.position = position;
  return {};
}

result<shard_position> memory_row_store::position(shard_id shard) {
  const std::lock_guard lock(mutex_);
  return shards_[shard].position;
}

result<void> memory_row_store::scan(shard_id shard,
                                    const std::function<void(const stored_row&)>& visit) {
  row_map seen;
  {
    const std::lock_guard lock(mutex_);
    seen = shards_[shard].written;
    row_map older = shards_[shard].committed;
    seen.merge(older);
  }
  for (const auto& [name, one] : seen) {
    visit({name.first, name.second, one.at, one.last_seen_ms, one.count, one.flags, one.floats});
  }
  return {};
}

void memory_row_store::crash(bool rows_survive) {
  const std::lock_guard lock(mutex_);
  for (auto& [id, of] : shards_) {
    if (rows_survive) {
      of.written.merge(of.committed);
      of.committed.swap(of.written);
    }
    of.written.clear();
  }
}

void memory_row_store::fail_next(errc code) {
  const std::lock_guard lock(mutex_);
  failures_.push_back(code);
}

}  // namespace headrace::storage
