#include "storage/memory_row_store.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <string>

namespace headrace::storage {

result<void> memory_row_store::failure() {
  if (failures_.empty()) return {};
  const errc code = failures_.front();
  failures_.pop_front();
  return error{code, "failed by plan"};
}

stored_row memory_row_store::view(const row_map::value_type& one) {
  const auto& [name, row] = one;
  return {.table = name.first,
          .key = name.second,
          .lsn = row.at,
          .last_seen_ms = row.last_seen_ms,
          .count = row.count,
          .flags = row.flags,
          .payload = row.payload};
}

void memory_row_store::shard_rows::settle() {
  written.merge(committed);  // newer ones win
  committed.swap(written);
  written.clear();
  std::erase_if(committed, [](const auto& one) { return one.second.removed; });
}

result<void> memory_row_store::write(shard_id shard, std::span<const stored_row> rows) {
  const std::lock_guard lock(mutex_);
  if (auto failed = failure(); !failed) return failed;
  auto& written = shards_[shard].written;
  for (const auto& one : rows) {
    written[{one.table, one.key}] = row{.at = one.lsn,
                                        .last_seen_ms = one.last_seen_ms,
                                        .count = one.count,
                                        .flags = one.flags,
                                        .payload = {one.payload.begin(), one.payload.end()},
                                        .removed = one.removed};
  }
  return {};
}

result<void> memory_row_store::commit(shard_id shard, const shard_position& position) {
  const std::lock_guard lock(mutex_);
  if (auto failed = failure(); !failed) return failed;
  auto& of = shards_[shard];
  of.settle();
  of.position = position;
  return {};
}

result<shard_position> memory_row_store::position(shard_id shard) {
  const std::lock_guard lock(mutex_);
  return shards_[shard].position;
}

result<void> memory_row_store::read(shard_id shard,
                                    table_id table,
                                    std::span<const row_key> keys,
                                    const std::function<void(const stored_row&)>& visit) {
  CHECK(std::ranges::adjacent_find(keys, std::ranges::greater_equal{}) == keys.end());
  row_map seen;
  {
    const std::lock_guard lock(mutex_);
    const auto& of = shards_[shard];
    for (const row_key key : keys) {
      auto found = of.written.find({table, key});
      if (found == of.written.end()) {
        found = of.committed.find({table, key});
        if (found == of.committed.end()) continue;
      }
      if (!found->second.removed) seen.emplace_hint(seen.end(), *found);
    }
  }
  for (const auto& one : seen) visit(view(one));  // may call this store
  return {};
}

result<void> memory_row_store::scan_from(shard_id shard,
                                         row_place from,
                                         std::size_t rows_max,
                                         const std::function<void(const stored_row&)>& visit) {
  shard_rows seen;
  {
    const std::lock_guard lock(mutex_);
    seen = shards_[shard];
  }
  seen.settle();
  auto at = seen.committed.lower_bound({from.table, from.key});
  for (; at != seen.committed.end() && rows_max > 0; ++at, --rows_max) visit(view(*at));
  return {};
}

void memory_row_store::crash(bool rows_survive) {
  const std::lock_guard lock(mutex_);
  for (auto& [id, of] : shards_) {
    if (rows_survive) of.settle();
    of.written.clear();
  }
}

void memory_row_store::fail_next(errc code) {
  const std::lock_guard lock(mutex_);
  failures_.push_back(code);
}

}  // namespace headrace::storage
