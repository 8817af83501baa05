#include "ps/shard/shard.hpp"

#include "base/check.hpp"
#include "kernels/runtime/float_mode.hpp"
#include "ps/delta/change_index.hpp"
#include "ps/table/rate_share.hpp"
#include "ps/table/row_update.hpp"
#include "storage/record_codec.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

namespace headrace::ps {
namespace {

constexpr std::uint32_t retry_soon_ms = 10;

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

}  // namespace

shard::shard(shard_id id, schemas::job_schema schema, shard_limits limits, headrace::epoch epoch)
    : id_(id),
      schema_(std::move(schema)),
      limits_(limits),
      epoch_(epoch),
      gate_(id, schema_, limits, epoch),
      quarantine_(limits.quarantine),
      quota_(limits.quota) {
  tables_.reserve(schema_.tables.size());
  for (const schemas::table_spec& spec : schema_.tables) {
    CHECK(spec.id.value == tables_.size());
    tables_.emplace_back(spec);
    gatekeepers_.emplace_back(spec);
  }
}

shard::~shard() = default;

lsn shard::next_lsn() const { return lsn{applied_.value + in_flight_.size() + 1}; }

// ---- decide ----

schemas::push_ack shard::ack_of(const schemas::push_section& section) const {
  schemas::push_ack ack;
  ack.shard = id_;
  ack.lane = section.lane;
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
  if (older && section.pulled_version < oldest_version_) {
    return error{errc::stale_gradient,
                 "computed from version " + std::to_string(section.pulled_version) + " of shard " +
                     std::to_string(id_.value) + ", whose rows were put back since, at " +
                     std::to_string(oldest_version_) + "; start the worker again"};
  }
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
  if (quarantine_.is_quarantined(section.source.name)) {
    return admit_void(
        section,
        now_ms,
        {errc::quarantined,
         "source " + section.source.name +
             " is in quarantine: too many of its pushes exploded; fix it, then release "
             "it"});
  }
  const kernels::float_mode mode;
  if (auto good = gate_.check_blocks(section); !good)
    return admit_void(section, now_ms, good.error());
  const auto norm = gate_.check_values(section);
  if (!norm) return admit_void(section, now_ms, norm.error());
  if (limits_.quota.limited()) {
    quota_cost cost{.rows = 0, .new_rows = 0, .bytes = section.bytes.size()};
    for (const schemas::row_block& block : section.blocks) cost.rows += block.keys.size();
    if (limits_.quota.new_rows_per_second > 0) cost.new_rows = count_new_rows(section);
    if (const auto wait_ms = quota_.admit(section.source.name, cost, now_ms); wait_ms > 0) {
      auto late = refuse(
          section,
          {errc::overloaded,
           "source " + section.source.name + " is over its quota on shard " +
               std::to_string(id_.value) + "; send again in " + std::to_string(wait_ms) + " ms"},
          placed.watermark);
      late.ack.retry_after_ms = wait_ms;
      return late;
    }
  }
  return admit(framed(section), now_ms, *norm);
}

bool shard::release(const std::string& source) {
  if (!quarantine_.release(source)) return false;
  ++releases_;
  return true;
}

std::uint64_t shard::count_new_rows(const schemas::push_section& section) const {
  std::uint64_t sum = 0;
  std::vector<row_header*> found;
  for (const schemas::row_block& block : section.blocks) {
    found.resize(block.keys.size());
    tables_[block.table.value].find(block.keys, found);
    sum += static_cast<std::uint64_t>(std::ranges::count(found, nullptr));
  }
  return sum;
}

std::uint64_t shard::next_stamp(std::uint64_t now_ms) const {
  return std::max(now_ms, in_flight_.empty() ? stamp_ms_ : in_flight_.back().stamp_ms);
}

admission_bits shard::admit_rows(const schemas::push_section& section, std::uint64_t stamp_ms) {
  std::size_t rows = 0;
  bool open = true;
  for (const schemas::row_block& block : section.blocks) {
    rows += block.keys.size();
    open = open && gatekeepers_[block.table.value].rule.open();
  }
  if (open) return {};
  admission_bits bits(rows);
  std::vector<row_header*> found;
  std::size_t bit = 0;
  for (const schemas::row_block& block : section.blocks) {
    gatekeeper& keeper = gatekeepers_[block.table.value];
    const table& of = tables_[block.table.value];
    const std::uint64_t ttl_ms = of.spec().expiry.idle_ms();
    found.resize(block.keys.size());
    of.find(block.keys, found);
    for (std::size_t i = 0; i < found.size(); ++i, ++bit) {
      const std::uint64_t key = block.keys[i];
      const bool there = (found[i] != nullptr && is_live(*found[i], stamp_ms, ttl_ms)) ||
                         keeper.in_flight.contains(key);
      const std::uint32_t times = block.counts.empty() ? 1 : block.counts[i];
      if (!there && !keeper.rule.open() && !keeper.rule.admit(key, times, stamp_ms)) continue;
      bits.admit(bit);
      if (!there) keeper.in_flight.insert(key);
    }
  }
  return bits;
}

/// Once a record is applied, or never will be, rows themselves say which keys have one.
void shard::forget_admissions(const schemas::push_section& section,
                              const admission_bits& admitted) {
  if (admitted.rows() == 0) return;
  row_admissions bits{.bits = admitted.bytes(), .first = 0};
  for (const schemas::row_block& block : section.blocks) {
    auto& waiting = gatekeepers_[block.table.value].in_flight;
    for (std::size_t i = 0; i < block.keys.size() && !waiting.empty(); ++i) {
      if (!bits[i]) continue;
      if (const auto at = waiting.find(block.keys[i]); at != waiting.end()) waiting.erase(at);
    }
    bits.first += block.keys.size();
  }
}

std::optional<storage::log_record> shard::remove(removal what, std::uint64_t now_ms) {
  CHECK(what.table.value < tables_.size());
  if (in_flight_.size() >= limits_.in_flight_max) return std::nullopt;
  pending entry;
  entry.removed = std::move(what);
  return enter(std::move(entry), storage::record_kind::removal, now_ms);
}

std::optional<removal> shard::find_expired(table_id id,
                                           std::uint64_t now_ms,
                                           std::size_t scan_max) {
  table& of = tables_[id.value];
  const schemas::expiry_spec& expiry = of.spec().expiry;
  if (expiry.ttl_ms == 0 || expiry.idle_ms() != 0 || taking_) return std::nullopt;
  // What a removal on its way takes is not to be counted on, nor looked for again.
  if (std::ranges::any_of(in_flight_, [&](const pending& entry) {
        return entry.removed && entry.removed->table == id;
      }))
    return std::nullopt;
  const std::uint64_t stamp_ms = next_stamp(now_ms);
  std::uint64_t may_go = of.standing() - std::min<std::uint64_t>(of.standing(), expiry.min_rows);
  std::uint64_t& last_ms = gatekeepers_[id.value].expired_ms;
  if (expiry.rows_per_second > 0) {
    const std::uint64_t since_ms =
        std::min<std::uint64_t>(1'000, stamp_ms - std::min(last_ms, stamp_ms));
    may_go = std::min(may_go, expiry.rows_per_second * since_ms / 1'000);
  }
  removal found{.reason = removal::why::expired, .table = id, .keys = {}};
  of.sweep(scan_max, [&](const row_header& row) {
    if (found.keys.size() < may_go && (row.flags & row_flag::pinned) == 0 &&
        (row.flags & row_flag::removed) == 0 && !is_live(row, stamp_ms, expiry.ttl_ms))
      found.keys.push_back(row.key);
  });
  std::ranges::sort(found.keys);
  for (const pending& entry : in_flight_) {
    for (const schemas::row_block& block : entry.section.blocks) {  // these are being used now
      if (block.table != id || found.keys.empty()) continue;
      std::erase_if(found.keys,
                    [&](std::uint64_t key) { return std::ranges::binary_search(block.keys, key); });
    }
  }
  if (found.keys.empty()) return std::nullopt;
  last_ms = stamp_ms;
  return found;
}

storage::log_record shard::enter(pending entry, storage::record_kind kind, std::uint64_t now_ms) {
  entry.lsn = next_lsn();
  entry.stamp_ms = next_stamp(now_ms);
  const schemas::push_section& section = entry.section;
  if (!entry.removed) rule_.admit(section.source, section.lane, section.batch, entry.lsn);
  storage::log_record record;
  record.lsn = entry.lsn;
  record.epoch = epoch_;
  record.stamp_ms = entry.stamp_ms;
  record.schema_version = schema_.version;
  record.kind = kind;
  record.reason = entry.reason;
  record.payload = entry.removed ? encode_removal(*entry.removed) : section.bytes;
  if (entry.admitted.rows() > 0) record.decisions = encode_admissions(entry.admitted);
  in_flight_.push_back(std::move(entry));
  return record;
}

shard::decision shard::admit(schemas::push_section section, std::uint64_t now_ms, double norm) {
  const auto kind =
      section.blocks.empty() ? storage::record_kind::advance : storage::record_kind::push;
  pending entry;
  entry.norm = norm;
  entry.admitted = admit_rows(section, next_stamp(now_ms));
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

// ---- commit ----

void shard::apply(const schemas::push_section& section,
                  const admission_bits& admitted,
                  lsn at,
                  std::uint64_t stamp_ms) {
  const kernels::float_mode mode;
  row_admissions bits{.bits = admitted.bytes(), .first = 0};
  for (const schemas::row_block& block : section.blocks) {
    table& rows = tables_[block.table.value];
    const float share = rate_share(rows.spec().optimizer.schedule, section.batch);
    update_rows(rows, block, bits, at, stamp_ms, share);
    if (changes_ != nullptr) changes_->updated(block, bits);
    bits.first += block.keys.size();
    tail_rows_ += block.keys.size();
  }
  if (!section.blocks.empty()) {
    ++version_;
    newest_row_ = std::max(newest_row_, at);
  }
  stamps_.note(section);
  advance_to(at, stamp_ms, section.bytes.size());
}

void shard::apply(const removal& what, lsn at, std::uint64_t stamp_ms) {
  remove_rows(tables_[what.table.value], what.keys, at);
  if (changes_ != nullptr) changes_->removed(what.table, what.keys);
  ++version_;
  newest_row_ = std::max(newest_row_, at);
  removals_ = true;
  tail_rows_ += what.keys.size();
  advance_to(at, stamp_ms, what.keys.size() * sizeof(std::uint64_t));
}

void shard::advance_to(lsn at, std::uint64_t stamp_ms, std::size_t bytes) {
  tail_bytes_ += bytes + storage::record_header_bytes;
  rule_.commit(at);
  applied_ = at;
  stamp_ms_ = std::max(stamp_ms_, stamp_ms);
  if (changes_ != nullptr) changes_->applied(at, version_);
}

schemas::push_ack shard::commit(lsn at) {
  CHECK(!in_flight_.empty());
  CHECK(in_flight_.front().lsn == at);
  CHECK(at.value == applied_.value + 1);
  const pending entry = std::move(in_flight_.front());
  in_flight_.pop_front();
  if (entry.removed) {
    apply(*entry.removed, at, entry.stamp_ms);
  } else {
    apply(entry.section, entry.admitted, at, entry.stamp_ms);
    forget_admissions(entry.section, entry.admitted);
    gate_.learn_norm(entry.section, entry.norm);
    quarantine_.note(entry.section.source.name, entry.reason);
  }
  schemas::push_ack ack = ack_of(entry.section);
  ack.status = entry.reason;
  ack.detail = entry.detail;
  ack.applied = entry.reason == errc::ok;
  ack.lsn = at;
  return ack;
}

void shard::roll_back(lsn from) {
  rule_.roll_back(from);
  while (!in_flight_.empty() && in_flight_.back().lsn >= from) {
    forget_admissions(in_flight_.back().section, in_flight_.back().admitted);
    in_flight_.pop_back();
  }
}

}  // namespace headrace::ps
