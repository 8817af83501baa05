#include "ps/shard/redo_window.hpp"

#include "ps/shard/decisions.hpp"

#include <algorithm>
#include <map>
#include <span>
#include <utility>

namespace headrace::ps {
namespace {

constexpr std::size_t bytes_max = std::size_t{256} << 20;
constexpr std::size_t records_max = 2'048;  // each may pin the same row: 12 bits count them
constexpr std::size_t keys_per_read = 32'768;
constexpr std::size_t without_budget = 16;  // times the rows

std::size_t rows_of(const working_set& set) {
  std::size_t rows = 0;
  for (const working_set::part& part : set.parts) rows += part.pinned.size() + part.missing.size();
  return rows;
}

}  // namespace

redo_window::redo_window(shard& state,
                         storage::row_store& store,
                         std::size_t rows_max,
                         std::function<result<void>()> after_each)
    : state_(state),
      store_(store),
      rows_max_(state.has_budget() ? rows_max : without_budget * rows_max),
      after_each_(std::move(after_each)) {}

result<void> redo_window::add(const storage::log_record& record, bool deciding) {
  if (!state_.has_cold_rows()) {  // nothing to read, so nothing to gather
    if (auto done = apply(record, deciding); !done) return done;
    return after_each_ ? after_each_() : result<void>();
  }
  auto rows = needed(record, deciding);
  if (!rows) return rows.error();
  rows_ += rows_of(*rows);
  bytes_ += record.payload.size();
  waiting_.push_back({record, std::move(*rows), deciding});
  const bool full = rows_ >= rows_max_ || bytes_ >= bytes_max || waiting_.size() >= records_max;
  return full ? finish() : result<void>();
}

result<void> redo_window::finish() {
  if (waiting_.empty()) return {};
  if (auto fetched = fetch(); !fetched) return fetched;
  for (entry& each : waiting_) {
    if (each.rows.open) {  // what is missing now is in no store either
      if (auto filled = state_.fill_set(each.rows, {}); !filled) return filled;
    }
    if (auto done = apply(each.record, each.deciding); !done) return done;
    state_.close_set(each.rows);
  }
  waiting_.clear();
  rows_ = bytes_ = 0;
  return after_each_ ? after_each_() : result<void>();
}

/// A removal is decided again by the rows themselves; redone, it needs none.
result<working_set> redo_window::needed(const storage::log_record& record, bool deciding) {
  if (!deciding || record.kind != storage::record_kind::removal) return state_.open_set(record);
  const auto what = decode_removal(record.payload.bytes());
  if (!what || what->table.value >= state_.tables())
    return working_set{};  // redo says what's wrong
  const schemas::pull_block block{what->table, schemas::value_codec::fp32, what->keys};
  return state_.open_set(std::span(&block, 1));
}

result<void> redo_window::apply(const storage::log_record& record, bool deciding) {
  return deciding ? state_.redo_deciding(record) : state_.redo(record);
}

/// All missing rows of the window come to DRAM.
result<void> redo_window::fetch() {
  std::map<table_id, std::vector<row_key>> missing;
  for (const entry& each : waiting_) {
    for (const working_set::part& part : each.rows.parts) {
      auto& keys = missing[part.table];
      keys.insert(keys.end(), part.missing.begin(), part.missing.end());
    }
  }
  fetched_rows found;
  for (auto& [table, keys] : missing) {
    std::ranges::sort(keys);
    keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
    for (std::span<const row_key> rest = keys; !rest.empty();) {
      const auto piece = rest.first(std::min(rest.size(), keys_per_read));
      rest = rest.subspan(piece.size());
      found.clear();
      auto read = store_.read(
          state_.id(), table, piece, [&](const storage::stored_row& row) { found.add(row); });
      if (!read) return read;
      if (auto taken = state_.take_fetched(found.rows()); !taken) return taken;
    }
  }
  return {};
}

}  // namespace headrace::ps
