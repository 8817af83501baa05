// Where a shard's rows lie: in DRAM, in the row store, on their way between.
#include "base/byte_io.hpp"
#include "base/check.hpp"
#include "ps/delta/change_index.hpp"
#include "ps/shard/position_state.hpp"
#include "ps/shard/shard.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace headrace::ps {
namespace {

// Rows of one write to the store: large enough for a sorted file of their own.
constexpr std::size_t rows_per_write = 65'536;

}  // namespace

// ---- write-back and load ----

shard::write_back shard::begin_write_back() {
  write_back begun;
  begun.through = applied_;
  begun.rows = dirty_rows(tables_);
  const position_state state{.version = version_,
                             .stamp_ms = stamp_ms_,
                             .rows = counts().rows,
                             .watermarks = rule_.save(),
                             .judgement = save_judgement(quarantine_),
                             .oldest_version = oldest_version_};
  begun.position = {.flushed = applied_, .epoch = epoch_, .state = encode_position_state(state)};
  tail_rows_behind_ = tail_rows_;
  tail_bytes_behind_ = tail_bytes_;
  releases_behind_ = releases_;
  return begun;
}

void shard::written_back(lsn through) {
  flushed_ = std::max(flushed_, through);
  tail_rows_ -= std::exchange(tail_rows_behind_, 0);
  tail_bytes_ -= std::exchange(tail_bytes_behind_, 0);
  kept_releases_ = releases_behind_;
}

result<void> shard::write_rows(storage::row_store& store) {
  return write_all(dirty_rows(tables_), store);
}

result<void> shard::write_all(dirty_rows rows, storage::row_store& store) {
  while (!rows.empty()) {
    row_batch batch;
    rows.copy(rows_per_write, batch);
    batch.seal(newest());
    if (auto written = batch.write(id_, store); !written) {
      batch.lost(tables_);
      rows.give_up();
      return written;
    }
    batch.landed();
  }
  return {};
}

result<lsn> shard::flush(storage::row_store& store) {
  if (is_written_back()) return applied_;
  write_back all = begin_write_back();
  if (auto written = write_all(std::move(all.rows), store); !written) return written.error();
  if (auto committed = store.commit(id_, all.position); !committed) return committed.error();
  written_back(all.through);
  return applied_;
}

result<lsn> shard::load(storage::row_store& store) {
  CHECK(applied_ == lsn{});
  const auto newest = read_rows(tables_, id_, schema_.shards, store);
  if (!newest) return newest.error();
  newest_row_ = *newest;
  return take_position(store);
}

result<lsn> shard::load_position(storage::row_store& store) {
  CHECK(applied_ == lsn{});
  const auto mark = read_tail_mark(id_, store);
  if (!mark) return mark.error();
  if (!*mark) return load(store);
  newest_row_ = **mark;
  for (table& each : tables_) each.set_complete(false);
  taking_ = true;
  return take_position(store);
}

std::vector<std::byte> shard::save_judgement(const quarantine& ward) const {
  byte_writer out;
  ward.save(out);
  out.number(static_cast<std::uint32_t>(gatekeepers_.size()));
  for (const gatekeeper& keeper : gatekeepers_) keeper.rule.save(out);
  return out.take();
}

result<void> shard::load_judgement(std::span<const std::byte> bytes) {
  if (bytes.empty()) return {};  // of a position that had none
  byte_reader in(bytes);
  if (auto loaded = quarantine_.load(in); !loaded) return loaded;
  const auto tables = in.number<std::uint32_t>();
  for (std::uint32_t i = 0; i < tables && i < gatekeepers_.size(); ++i) {
    if (auto loaded = gatekeepers_[i].rule.load(in); !loaded) return loaded;
  }
  if (tables > gatekeepers_.size() || !in.at_end()) {
    return error{errc::corrupt,
                 "the judgement of shard " + std::to_string(id_.value) +
                     " does not end where its tables do; restore the state folder from a copy"};
  }
  return {};
}

result<lsn> shard::take_position(storage::row_store& store) {
  const auto position = store.position(id_);
  if (!position) return position.error();
  if (position->flushed == lsn{}) return lsn{};
  const auto state = decode_position_state(position->state, id_);
  if (!state) return state.error();
  if (auto loaded = rule_.load(state->watermarks); !loaded) return loaded.error();
  if (auto loaded = load_judgement(state->judgement); !loaded) return loaded.error();
  version_ = state->version;
  oldest_version_ = state->oldest_version;
  stamp_ms_ = state->stamp_ms;
  applied_ = flushed_ = position->flushed;
  if (taking_) cold_rows_ = static_cast<std::int64_t>(state->rows);
  return applied_;
}

// ---- rows that lie in the store ----

bool shard::has_cold_rows() const {
  return std::any_of(
      tables_.begin(), tables_.end(), [](const table& each) { return !each.complete(); });
}

template <class Block>
working_set shard::open_set_of(std::span<const Block> blocks) {
  working_set set;
  std::vector<row_header*> rows;
  for (const Block& block : blocks) {
    table& of = tables_[block.table.value];
    if (of.complete() && of.spec().memory_bytes == 0) continue;
    working_set::part& part = set.parts.emplace_back();
    part.table = block.table;
    rows.resize(block.keys.size());
    of.find(block.keys, rows);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (rows[i] != nullptr) {
        rows[i]->flags += row_flag::pinned_once;
        part.pinned.push_back(rows[i]);
      } else if (!of.complete()) {
        part.missing.emplace_back(block.keys[i]);
      }
    }
    seen_.hits += part.pinned.size();
  }
  if (set.parts.empty()) return set;
  set.open = true;
  set.begun = applied_;
  begun_.insert(applied_);
  return set;
}

working_set shard::open_set(std::span<const schemas::row_block> blocks) {
  return open_set_of(blocks);
}
working_set shard::open_set(std::span<const schemas::pull_block> blocks) {
  return open_set_of(blocks);
}

result<void> shard::fill_set(working_set& set, const fetched_rows& found) {
  CHECK(set.open);
  if (auto taken = take_fetched(found.rows()); !taken) return taken;
  std::vector<std::uint64_t> keys;
  std::vector<row_header*> rows;
  for (working_set::part& part : set.parts) {
    keys.clear();
    for (const row_key key : part.missing) keys.push_back(key.value);
    rows.resize(keys.size());
    tables_[part.table.value].find(keys, rows);
    for (row_header* row : rows) {
      if (row == nullptr) {
        ++seen_.absent;
        continue;
      }
      row->flags += row_flag::pinned_once;
      part.pinned.push_back(row);
    }
    part.missing.clear();
  }
  return {};
}

result<void> shard::take_fetched(std::span<const storage::stored_row> rows) {
  seen_.fetched += rows.size();
  return take_all(rows, [](const table&) { return true; });
}

void shard::close_set(working_set& set) {
  if (!std::exchange(set.open, false)) return;
  for (working_set::part& part : set.parts) {
    for (row_header* row : part.pinned) row->flags -= row_flag::pinned_once;
  }
  begun_.erase(begun_.find(set.begun));
  set.parts.clear();
}

result<working_set> shard::open_set(const storage::log_record& record) {
  if (record.kind != storage::record_kind::push) return working_set{};
  const auto section = schemas::decode_push(record.payload);
  if (!section || !fits_tables(*section)) return working_set{};  // redo says what is wrong
  return open_set(std::span<const schemas::row_block>(section->blocks));
}

result<void> shard::check_keys(const schemas::pull_section& section) const {
  for (const schemas::pull_block& block : section.blocks) {
    if (auto good = gate_.check_block(block); !good) return good;
  }
  return {};
}

std::vector<std::uint64_t> shard::live_keys(table_id table_of,
                                            std::span<const std::uint64_t> keys) const {
  const table& rows = tables_[table_of.value];
  std::vector<std::uint64_t> live;
  for (const std::uint64_t key : keys) {
    const row_header* row = rows.find(key);
    if (row != nullptr && is_live(*row, stamp_ms_, rows.spec().expiry.idle_ms()))
      live.push_back(key);
  }
  return live;
}

std::vector<std::uint64_t> shard::live_keys(table_id table_of) const {
  const table& rows = tables_[table_of.value];
  std::vector<std::uint64_t> live;
  live.reserve(rows.rows());
  rows.visit([&](const row_header& row) {
    if (is_live(row, stamp_ms_, rows.spec().expiry.idle_ms())) live.push_back(row.key);
  });
  std::ranges::sort(live);
  return live;
}

result<void> shard::take(const storage::stored_row& row) {
  if (row.table == tail_mark_table) return {};
  if (row.table.value < tables_.size()) {
    const table& to = tables_[row.table.value];
    if (to.complete() || to.find(row.key.value) != nullptr) return {};
  }
  if (auto taken = take_stored_row(tables_, id_, schema_.shards, row); !taken) return taken;
  --cold_rows_;
  return {};
}

result<void> shard::take_resident(std::span<const storage::stored_row> rows) {
  return take_all(rows, [](const table& to) { return to.spec().memory_bytes == 0; });
}

template <class Wanted>
result<void> shard::take_all(std::span<const storage::stored_row> rows, Wanted wanted) {
  std::array<std::uint64_t, 64> keys;
  std::array<row_header*, 64> there;
  while (!rows.empty()) {
    const table_id id = rows.front().table;
    std::size_t count = 0;
    while (count < std::min(keys.size(), rows.size()) && rows[count].table == id) {
      keys[count] = rows[count].key.value;
      ++count;
    }
    const auto piece = rows.first(count);
    rows = rows.subspan(count);
    if (id.value < tables_.size()) {
      const table& to = tables_[id.value];
      if (!wanted(to)) continue;
      // Looked up side by side first: the index is not in the processor's cache.
      to.find(std::span(keys).first(count), std::span(there).first(count));
    }
    for (const storage::stored_row& row : piece) {
      if (auto taken = take(row); !taken) return taken;
    }
  }
  return {};
}

void shard::all_taken() {
  taking_ = false;
  for (table& each : tables_) {
    if (each.spec().memory_bytes == 0) each.set_complete(true);
  }
}

void shard::tidy(std::size_t scan_max) {
  constexpr std::uint32_t held = row_flag::dirty | row_flag::writing | row_flag::pinned;
  for (table& each : tables_) {
    const std::size_t evicted = each.evict(settled(), scan_max);
    seen_.evicted += evicted;
    cold_rows_ += static_cast<std::int64_t>(evicted);
    const std::uint64_t ttl_ms = each.spec().expiry.idle_ms();
    // What was read for a working set, or is being taken, could bring back what is dropped here.
    if (!idle() || taking_ || each.growing()) continue;
    if (ttl_ms == 0 && !removals_) continue;
    each.sweep(scan_max, [&](row_header& row) {
      if ((row.flags & held) != 0 || is_live(row, stamp_ms_, ttl_ms)) return;
      const bool told = (row.flags & row_flag::removed) != 0;
      if (changes_ != nullptr && !told) changes_->removed(each.spec().id, {&row.key, 1});
      each.drop(&row);
    });
  }
}

bool shard::may_miss() const {
  return std::any_of(tables_.begin(), tables_.end(), [](const table& each) {
    return !each.complete() || each.spec().memory_bytes > 0;
  });
}

bool shard::has_budget() const {
  return std::any_of(tables_.begin(), tables_.end(), [](const table& each) {
    return each.spec().memory_bytes > 0;
  });
}

std::size_t shard::dirty() const {
  std::size_t sum = 0;
  for (const table& each : tables_) sum += each.dirty();
  return sum;
}

bool shard::over_budget() const {
  return std::any_of(
      tables_.begin(), tables_.end(), [](const table& each) { return each.over_budget(); });
}

bool shard::far_over_budget() const {
  return std::any_of(
      tables_.begin(), tables_.end(), [](const table& each) { return each.far_over_budget(); });
}

}  // namespace headrace::ps
