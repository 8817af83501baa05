#include "ps/shard/shard.hpp"

#include "base/check.hpp"
#include "kernels/runtime/float_mode.hpp"
#include "ps/shard/position_state.hpp"
#include "ps/table/row_gather.hpp"
#include "ps/table/row_step.hpp"
#include "ps/table/row_update.hpp"
#include "ps/table/table_digest.hpp"
#include "storage/record_codec.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace headrace::ps {
namespace {

constexpr std::uint32_t retry_soon_ms = 10;
// Rows of one write to the store: large enough for a sorted file of their own.
constexpr std::size_t rows_per_write = 65'536;

/// The section's header alone, as an advance.
schemas::push_section without_blocks(const schemas::push_section& section) {
  schemas::push_section header = section;
  header.blocks.clear();
  header.bytes = schemas::encode(header);
  return header;
}

/// The section over a frame of its own, where it has none.
schemas::push_section framed(const schemas::push_section& section) {
  if (!section.bytes.empty()) return section;
  auto read = schemas::decode_push(schemas::encode(section));
  CHECK(read.ok());
  return std::move(*read);
}

std::string record_name(lsn at, shard_id shard) {
  return "log record " + std::to_string(at.value) + " of shard " + std::to_string(shard.value);
}

}  // namespace

shard::shard(shard_id id, schemas::job_schema schema, shard_limits limits, headrace::epoch epoch)
    : id_(id),
      schema_(std::move(schema)),
      limits_(limits),
      epoch_(epoch),
      gate_(id, schema_, limits, epoch) {
  tables_.reserve(schema_.tables.size());
  for (const schemas::table_spec& spec : schema_.tables) {
    CHECK(spec.id.value == tables_.size());
    tables_.emplace_back(spec);
  }
}

shard::~shard() = default;

lsn shard::next_lsn() const { return lsn{applied_.value + in_flight_.size() + 1}; }

// ---- decide ----

schemas::push_ack shard::ack_of(const schemas::push_section& section) const {
  schemas::push_ack ack;
  ack.shard = id_;
  ack.watermark = section.batch;
  ack.version = version_;
  ack.slowest_clock = rule_.slowest();
  ack.epoch = epoch_;
  return ack;
}

shard::decision shard::refuse(const schemas::push_section& section,
                              const error& why,
                              batch_number watermark) const {
  decision answer;
  answer.ack = ack_of(section);
  answer.ack.status = why.code;
  answer.ack.detail = why.detail;
  answer.ack.watermark = watermark;
  if (why.code == errc::overloaded) answer.ack.retry_after_ms = retry_soon_ms;
  return answer;
}

result<void> shard::check_ready(const schemas::push_section& section) const {
  const bool older = !section.blocks.empty() && section.pulled_version < version_;
  if (older && version_ - section.pulled_version > limits_.staleness_max) {
    return error{errc::stale_gradient,
                 "computed from version " + std::to_string(section.pulled_version) + " of shard " +
                     std::to_string(id_.value) + ", now at " + std::to_string(version_) +
                     ", more than " + std::to_string(limits_.staleness_max) + " apart; pull again"};
  }
  if (in_flight_.size() >= limits_.in_flight_max) {
    return error{errc::overloaded,
                 std::to_string(in_flight_.size()) + " pushes of shard " +
                     std::to_string(id_.value) + " wait for the log; send again"};
  }
  if (!rule_.knows(section.source) && rule_.sources() >= limits_.sources_max) {
    return error{errc::overloaded,
                 "shard " + std::to_string(id_.value) + " already follows " +
                     std::to_string(rule_.sources()) + " sources, the limit; " +
                     to_string(section.source) + " is not one of them"};
  }
  return {};
}

shard::decision shard::decide(const schemas::push_section& section, std::uint64_t now_ms) {
  const auto placed = rule_.check(section.source, section.lane, section.batch, section.prev);
  if (auto good = gate_.check_request(section); !good) {
    return refuse(section, good.error(), placed.watermark);
  }
  switch (placed.kind) {
    case push_rule::verdict::accept:
      break;
    case push_rule::verdict::duplicate: {
      decision answer;
      answer.ack = ack_of(section);
      answer.ack.watermark = placed.watermark;
      answer.wait_for = placed.wait_for;
      return answer;
    }
    case push_rule::verdict::gap:
      return refuse(
          section,
          {errc::gap,
           "batch " + std::to_string(section.batch.value) + " of " + to_string(section.source) +
               " follows " + std::to_string(section.prev.value) + ", shard " +
               std::to_string(id_.value) + " is at " + std::to_string(placed.watermark.value) +
               "; send the batches between"},
          placed.watermark);
    case push_rule::verdict::retired:
      return refuse(
          section,
          {errc::unknown_source,
           "generation of " + to_string(section.source) + " is retired; stop this source"},
          placed.watermark);
  }
  if (auto ready = check_ready(section); !ready) {
    return refuse(section, ready.error(), placed.watermark);
  }
  const kernels::float_mode mode;
  if (auto good = gate_.check_blocks(section); !good)
    return admit_void(section, now_ms, good.error());
  const auto norm = gate_.check_values(section);
  if (!norm) return admit_void(section, now_ms, norm.error());
  return admit(framed(section), now_ms, *norm);
}

storage::log_record shard::enter(pending entry, storage::record_kind kind, std::uint64_t now_ms) {
  entry.lsn = next_lsn();
  entry.stamp_ms = std::max(now_ms, in_flight_.empty() ? stamp_ms_ : in_flight_.back().stamp_ms);
  const schemas::push_section& section = entry.section;
  rule_.admit(section.source, section.lane, section.batch, entry.lsn);
  storage::log_record record;
  record.lsn = entry.lsn;
  record.epoch = epoch_;
  record.stamp_ms = entry.stamp_ms;
  record.schema_version = schema_.version;
  record.kind = kind;
  record.reason = entry.reason;
  record.payload = section.bytes;
  in_flight_.push_back(std::move(entry));
  return record;
}

shard::decision shard::admit(schemas::push_section section, std::uint64_t now_ms, double norm) {
  const auto kind =
      section.blocks.empty() ? storage::record_kind::advance : storage::record_kind::push;
  pending entry;
  entry.norm = norm;
  entry.section = std::move(section);
  decision answer;
  answer.record = enter(std::move(entry), kind, now_ms);
  return answer;
}

shard::decision shard::admit_void(const schemas::push_section& section,
                                  std::uint64_t now_ms,
                                  const error& why) {
  pending entry;
  entry.reason = why.code;
  entry.detail = why.detail;
  entry.section = without_blocks(section);
  decision answer;
  answer.record = enter(std::move(entry), storage::record_kind::voided, now_ms);
  return answer;
}

// ---- commit, redo ----

void shard::apply(const schemas::push_section& section, lsn at, std::uint64_t stamp_ms) {
  const kernels::float_mode mode;
  for (const schemas::row_block& block : section.blocks) {
    update_rows(tables_[block.table.value], block, {}, at, stamp_ms);
  }
  if (!section.blocks.empty()) {
    ++version_;
    newest_row_ = std::max(newest_row_, at);
  }
  for (const schemas::row_block& block : section.blocks) tail_rows_ += block.keys.size();
  tail_bytes_ += section.bytes.size() + storage::record_header_bytes;
  rule_.commit(at);
  applied_ = at;
  stamp_ms_ = std::max(stamp_ms_, stamp_ms);
}

schemas::push_ack shard::commit(lsn at) {
  CHECK(!in_flight_.empty());
  CHECK(in_flight_.front().lsn == at);
  CHECK(at.value == applied_.value + 1);
  const pending entry = std::move(in_flight_.front());
  in_flight_.pop_front();
  apply(entry.section, at, entry.stamp_ms);
  gate_.learn_norm(entry.section, entry.norm);
  schemas::push_ack ack = ack_of(entry.section);
  ack.status = entry.reason;
  ack.detail = entry.detail;
  ack.applied = entry.reason == errc::ok;
  ack.lsn = at;
  return ack;
}

void shard::roll_back(lsn from) {
  rule_.roll_back(from);
  while (!in_flight_.empty() && in_flight_.back().lsn >= from) in_flight_.pop_back();
}

result<void> shard::check_record(const storage::log_record& record) const {
  const std::string name = record_name(record.lsn, id_);
  if (record.lsn.value != applied_.value + 1) {
    return error{errc::corrupt,
                 name + " cannot follow " + std::to_string(applied_.value) +
                     ": records between are missing; restore the state folder from a copy"};
  }
  if (record.schema_version != schema_.version) {
    return error{errc::corrupt,
                 name + " is of schema version " + std::to_string(record.schema_version) +
                     ", the job is at " + std::to_string(schema_.version)};
  }
  const bool known = record.kind == storage::record_kind::push ||
                     record.kind == storage::record_kind::advance ||
                     record.kind == storage::record_kind::voided;
  if (!known || !record.decisions.empty()) {
    return error{
        errc::corrupt,
        name + " is of kind " + std::to_string(static_cast<unsigned>(record.kind)) + " with " +
            std::to_string(record.decisions.size()) +
            " bytes of decisions, which this build cannot redo; use the build that wrote it"};
  }
  return {};
}

result<void> shard::redo(const storage::log_record& record) {
  CHECK(in_flight_.empty());
  if (record.lsn <= applied_) return {};  // done already
  if (auto good = check_record(record); !good) return good;
  const auto corrupt = [&](const error& why) {
    return error{errc::corrupt,
                 record_name(record.lsn, id_) + " cannot be redone: " + describe(why)};
  };
  const auto section = schemas::decode_push(record.payload);
  if (!section) return corrupt(section.error());
  if (section->source.generation == 0)
    return corrupt({errc::malformed, "its source has generation 0"});
  if (section->shard != id_) return corrupt({errc::malformed, "it is of another shard"});
  if ((record.kind == storage::record_kind::push) == section->blocks.empty()) {
    return corrupt({errc::malformed, "its kind and its blocks disagree"});
  }
  if (auto good = gate_.check_blocks(*section); !good) return corrupt(good.error());
  rule_.admit(section->source, section->lane, section->batch, record.lsn);
  apply(*section, record.lsn, record.stamp_ms);
  return {};
}

// ---- pull and questions ----

frame shard::refuse_pull(const error& why) const {
  schemas::pull_reply reply;
  reply.shard = id_;
  reply.status = why.code;
  reply.detail = why.detail;
  reply.epoch = epoch_;
  reply.lsn = applied_;
  reply.version = version_;
  return schemas::encode(reply);
}

result<std::vector<schemas::pulled_block_layout>> shard::lay_out(
    const schemas::pull_section& section) const {
  std::vector<schemas::pulled_block_layout> layouts;
  layouts.reserve(section.blocks.size());
  std::size_t bytes = 0;
  for (const schemas::pull_block& block : section.blocks) {
    if (auto good = gate_.check_block(block); !good) return good.error();
    const std::uint32_t dim = schema_.tables[block.table.value].dim;
    const auto rows = static_cast<std::uint32_t>(block.keys.size());
    layouts.push_back({block.table, dim, block.codec, rows});
    bytes += std::size_t{rows} * dim * schemas::value_bytes(block.codec);
  }
  // An eighth is left for scales, bits and the envelope of the message.
  if (bytes > limits_.section_bytes_max / 8 * 7) {
    return error{errc::too_large,
                 "the rows asked for are " + std::to_string(bytes) + " bytes, the limit is " +
                     std::to_string(limits_.section_bytes_max / 8 * 7) + "; pull fewer at a time"};
  }
  return layouts;
}

frame shard::pull(const schemas::pull_section& section) const {
  if (auto good = gate_.check_request(section); !good) return refuse_pull(good.error());
  if (section.at_least > applied_) {
    return refuse_pull({errc::unavailable,
                        "shard " + std::to_string(id_.value) + " has applied through " +
                            std::to_string(applied_.value) + ", asked for " +
                            std::to_string(section.at_least.value) + "; ask again"});
  }
  const auto layouts = lay_out(section);
  if (!layouts) return refuse_pull(layouts.error());
  const kernels::float_mode mode;
  schemas::pull_reply header;
  header.shard = id_;
  header.epoch = epoch_;
  header.lsn = applied_;
  header.version = version_;
  schemas::pull_reply_builder reply(header, *layouts);
  for (std::size_t i = 0; i < section.blocks.size(); ++i) {
    const schemas::pull_block& block = section.blocks[i];
    gather_rows(tables_[block.table.value], block.keys, block.codec, stamp_ms_, reply.block(i));
  }
  return reply.finish();
}

schemas::watermark_reply shard::watermarks(const schemas::watermark_request& request) const {
  schemas::watermark_reply reply;
  reply.shard = id_;
  reply.epoch = epoch_;
  const auto rows = rule_.committed(request.source, schemas::lane::rows);
  const auto dense = rule_.committed(request.source, schemas::lane::dense);
  if (rows && dense) {
    reply.rows = *rows;
    reply.dense = *dense;
  } else {
    const error& why = rows ? dense.error() : rows.error();
    reply.status = why.code;
    reply.detail = why.detail;
  }
  return reply;
}

void shard::add_rows(const table& rows, table_digest& sum) const {
  std::vector<std::byte> scratch;
  rows.visit([&](const row_header& row) {
    if (!is_live(row, stamp_ms_, rows.spec().expiry.idle_ms())) return;
    const std::span<const std::byte> bytes{payload(&row), rows.shape().payload_bytes};
    sum.add(rows.spec().id, rows.shape(), row.key, bytes, row.count, scratch);
  });
}

schemas::digest_reply shard::reply_of(const table_digest& sum) const {
  schemas::digest_reply reply;
  for (const table& rows : tables_) reply.bytes += rows.bytes();
  reply.shard = id_;
  reply.low = sum.all.low;
  reply.high = sum.all.high;
  reply.weights_low = sum.weights.low;
  reply.weights_high = sum.weights.high;
  reply.rows = sum.rows;
  reply.lsn = applied_;
  return reply;
}

schemas::digest_reply shard::digest() const {
  CHECK(!has_cold_rows());
  table_digest sum;
  for (const table& rows : tables_) add_rows(rows, sum);
  return reply_of(sum);
}

result<schemas::digest_reply> shard::digest(storage::row_store& store) const {
  if (!has_cold_rows()) return digest();
  table_digest sum;
  for (const table& rows : tables_) add_rows(rows, sum);
  // What lies in DRAM, tombstones too, is newer than what is stored.
  std::vector<std::byte> scratch;
  result<void> good;
  const auto scanned = store.scan(id_, [&](const storage::stored_row& row) {
    if (!good || row.table == tail_mark_table) return;
    if (row.table.value >= tables_.size() ||
        row.payload.size() != tables_[row.table.value].shape().payload_bytes) {
      good = error{errc::corrupt,
                   "stored row " + std::to_string(row.key.value) + " of table " +
                       std::to_string(row.table.value) + " does not fit the job's tables"};
      return;
    }
    const table& of = tables_[row.table.value];
    if (of.complete() || of.find(row.key.value) != nullptr) return;
    const row_header header{
        row.key.value, row.lsn.value, row.last_seen_ms, row.count, row.flags & row_flag::stored};
    if (!is_live(header, stamp_ms_, of.spec().expiry.idle_ms())) return;
    sum.add(row.table, of.shape(), row.key.value, row.payload, row.count, scratch);
  });
  if (!scanned) return scanned.error();
  if (!good) return good.error();
  return reply_of(sum);
}

schemas::digest_reply shard::counts() const {
  table_digest none;
  auto reply = reply_of(none);
  for (const table& rows : tables_) reply.rows += rows.rows();
  reply.rows += static_cast<std::uint64_t>(std::max<std::int64_t>(0, cold_rows_));
  return reply;
}

void shard::visit(
    table_id table_of,
    const std::function<void(row_key, std::uint32_t, std::span<const float>)>& see) const {
  CHECK(table_of.value < tables_.size());
  const table& rows = tables_[table_of.value];
  const row_shape& shape = rows.shape();
  std::vector<float> values(shape.dim + shape.state_floats);
  rows.visit([&](const row_header& row) {
    if (!is_live(row, stamp_ms_, rows.spec().expiry.idle_ms())) return;
    const row_header* const one = &row;
    widen_weights(shape, {&one, 1}, std::span(values).first(shape.dim));
    std::memcpy(values.data() + shape.dim,
                payload(&row) + shape.weight_bytes,
                shape.state_floats * sizeof(float));
    see(row_key{row.key}, row.count, values);
  });
}

// ---- write-back and load ----

shard::write_back shard::begin_write_back() {
  write_back begun;
  begun.through = applied_;
  begun.rows = dirty_rows(tables_);
  const position_state state{.version = version_,
                             .stamp_ms = stamp_ms_,
                             .rows = counts().rows,
                             .watermarks = rule_.save()};
  begun.position = {.flushed = applied_, .epoch = epoch_, .state = encode_position_state(state)};
  tail_rows_behind_ = tail_rows_;
  tail_bytes_behind_ = tail_bytes_;
  return begun;
}

void shard::written_back(lsn through) {
  flushed_ = std::max(flushed_, through);
  tail_rows_ -= std::exchange(tail_rows_behind_, 0);
  tail_bytes_ -= std::exchange(tail_bytes_behind_, 0);
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
  if (flushed_ == applied_) return applied_;
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

result<lsn> shard::take_position(storage::row_store& store) {
  const auto position = store.position(id_);
  if (!position) return position.error();
  if (position->flushed == lsn{}) return lsn{};
  const auto state = decode_position_state(position->state, id_);
  if (!state) return state.error();
  if (auto loaded = rule_.load(state->watermarks); !loaded) return loaded.error();
  version_ = state->version;
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
  for (const storage::stored_row& row : found.rows()) {
    if (auto taken = take(row); !taken) return taken;
  }
  for (working_set::part& part : set.parts) {
    for (const row_key key : part.missing) {
      row_header* row = tables_[part.table.value].find(key.value);
      if (row == nullptr) {
        ++seen_.absent;
        continue;
      }
      row->flags += row_flag::pinned_once;
      part.pinned.push_back(row);
    }
    part.missing.clear();
  }
  seen_.fetched += found.rows().size();
  return {};
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

bool shard::fits_tables(const schemas::pull_section& section) const {
  return std::all_of(section.blocks.begin(), section.blocks.end(), [&](const auto& block) {
    return gate_.check_block(block).ok();
  });
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
  for (const storage::stored_row& row : rows) {
    const bool budgeted =
        row.table.value < tables_.size() && tables_[row.table.value].spec().memory_bytes > 0;
    if (budgeted) continue;
    if (auto taken = take(row); !taken) return taken;
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
      if ((row.flags & held) == 0 && !is_live(row, stamp_ms_, ttl_ms)) each.drop(&row);
    });
  }
}

bool shard::may_miss() const {
  return std::any_of(tables_.begin(), tables_.end(), [](const table& each) {
    return !each.complete() || each.spec().memory_bytes > 0;
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
