#include "ps/shard/shard.hpp"

#include "base/check.hpp"
#include "kernels/runtime/float_mode.hpp"
#include "ps/shard/position_state.hpp"
#include "ps/shard/write_back.hpp"
#include "ps/table/row_gather.hpp"
#include "ps/table/row_step.hpp"
#include "ps/table/row_update.hpp"
#include "ps/table/table_digest.hpp"

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

schemas::digest_reply shard::digest(bool counts_only) const {
  table_digest sum;
  schemas::digest_reply reply;
  std::vector<std::byte> scratch;
  for (const table& rows : tables_) {
    const table_id id = rows.spec().id;
    if (!counts_only) {
      rows.visit([&](const row_header& row) {
        if (!is_live(row, stamp_ms_, rows.spec().expiry.ttl_ms)) return;
        sum.add(id,
                rows.shape(),
                row.key,
                {payload(&row), rows.shape().payload_bytes},
                row.count,
                scratch);
      });
    }
    reply.rows += rows.rows();
    reply.bytes += rows.bytes();
  }
  reply.shard = id_;
  reply.low = sum.all.low;
  reply.high = sum.all.high;
  reply.weights_low = sum.weights.low;
  reply.weights_high = sum.weights.high;
  reply.lsn = applied_;
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
    if (!is_live(row, stamp_ms_, rows.spec().expiry.ttl_ms)) return;
    const row_header* const one = &row;
    widen_weights(shape, {&one, 1}, std::span(values).first(shape.dim));
    std::memcpy(values.data() + shape.dim,
                payload(&row) + shape.weight_bytes,
                shape.state_floats * sizeof(float));
    see(row_key{row.key}, row.count, values);
  });
}

// ---- write-back and load ----

result<lsn> shard::flush(storage::row_store& store) {
  if (flushed_ == applied_) return applied_;
  dirty_rows changed(tables_);
  while (!changed.empty()) {
    row_batch batch;
    changed.copy(rows_per_write, batch);
    if (auto written = batch.write(id_, store); !written) {
      batch.lost(tables_);
      changed.give_up();
      return written.error();
    }
    batch.landed();
  }
  position_state state{
      .version = version_, .stamp_ms = stamp_ms_, .rows = 0, .watermarks = rule_.save()};
  for (const table& each : tables_) state.rows += each.rows();
  const auto committed = store.commit(
      id_, {.flushed = applied_, .epoch = epoch_, .state = encode_position_state(state)});
  if (!committed) return committed.error();
  flushed_ = applied_;
  return applied_;
}

result<lsn> shard::load(storage::row_store& store) {
  CHECK(applied_ == lsn{});
  const auto position = store.position(id_);
  if (!position) return position.error();
  const auto newest = read_rows(tables_, id_, schema_.shards, store);
  if (!newest) return newest.error();
  newest_row_ = *newest;
  if (position->flushed == lsn{}) return lsn{};
  const auto state = decode_position_state(position->state, id_);
  if (!state) return state.error();
  if (auto loaded = rule_.load(state->watermarks); !loaded) return loaded.error();
  version_ = state->version;
  stamp_ms_ = state->stamp_ms;
  applied_ = flushed_ = position->flushed;
  return applied_;
}

}  // namespace headrace::ps
