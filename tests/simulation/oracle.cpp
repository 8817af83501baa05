#include "tests/simulation/oracle.hpp"

#include "tests/simulation/shard_under_test.hpp"

#include <algorithm>
#include <bit>

namespace headrace::simulation {
namespace {

std::string text(std::uint64_t number) { return std::to_string(number); }

bool same_bytes(const frame& a, const frame& b) { return std::ranges::equal(a.bytes(), b.bytes()); }

std::string text(const schemas::push_section& section) {
  return to_string(section.source) + " (" + text(section.prev.value) + ", " +
         text(section.batch.value) + ']';
}

}  // namespace

oracle::oracle(shard_id shard, const sealed_batches& sealed)
    : shard_(shard), sealed_(sealed), last_(sealed.sources()), conduct_(sealed.sources()) {}

oracle::verdict oracle::absorb(const storage::memory_log::contents& disk) {
  const auto next = std::ranges::upper_bound(disk.records, read_, {}, &storage::log_record::lsn);
  for (auto it = next; it != disk.records.end(); ++it) {
    if (auto wrong = absorb(*it)) return wrong;
  }
  if (!records_.empty() && (disk.records.empty() || disk.records.back().lsn != read_))
    return where() + "the log has lost its end behind " + text(read_.value);
  return std::nullopt;
}

oracle::verdict oracle::absorb(const storage::log_record& record) {
  if (record.lsn.value != read_.value + 1)
    return where() + "the log has a hole before " + text(record.lsn.value);
  if (record.stamp_ms < stamp_ms_)
    return where() + "the stamp goes back at " + text(record.lsn.value);
  read_ = record.lsn;
  stamp_ms_ = record.stamp_ms;
  records_.push_back(record);
  if (record.kind == storage::record_kind::removal) return std::nullopt;  // for the replay
  const auto section = schemas::decode_push(record.payload);
  if (!section) return where() + "record " + text(record.lsn.value) + " cannot be read";
  const std::uint32_t source = sealed_.index_of(section->source);
  if (source == sealed_.sources()) return where() + "a record of nobody's source";
  const batch_number end = last_[source];
  if (section->batch <= end)
    return where() + "duplicate in the log: " + text(*section) + " after " + text(end.value);
  if (section->prev != end)
    return where() + "gap in the log: " + text(*section) + " after " + text(end.value);
  last_[source] = section->batch;
  if (auto wrong = check_section(record, *section, source)) return wrong;
  conduct& of = conduct_[source];
  if (of.quarantined) {
    ++of.kept_out;
  } else {
    const bool exploded = record.reason == errc::not_finite;
    of.exploded = of.exploded << 1 | std::uint64_t{exploded};
    of.quarantined = std::popcount(of.exploded) >= 8;
  }
  return std::nullopt;
}

oracle::verdict oracle::check_void(const storage::log_record& record,
                                   const schemas::push_section& section,
                                   std::uint32_t source) {
  voided_.emplace(source, section.batch);
  if (record.reason == errc::quarantined) {
    if (conduct_[source].quarantined) return std::nullopt;
    return where() + "a source is in quarantine without a cause: " + text(section);
  }
  if (sealed_.at(source, section.batch, shard_).poisoned) return std::nullopt;
  return where() + "a good push was voided: " + text(section);
}

oracle::verdict oracle::check_section(const storage::log_record& record,
                                      const schemas::push_section& section,
                                      std::uint32_t source) {
  const sealed_section& sealed = sealed_.at(source, section.batch, shard_);
  switch (record.kind) {
    case storage::record_kind::advance:
      for (std::uint64_t b = section.prev.value + 1; b <= section.batch.value; ++b) {
        if (!sealed_.at(source, batch_number{b}, shard_).keys.empty()) {
          return where() + "an advance skips the keys of batch " + text(b);
        }
      }
      return std::nullopt;
    case storage::record_kind::voided:
      ++voids_;
      return check_void(record, section, source);
    case storage::record_kind::push:
      break;
    default:
      return where() + "a record of unknown kind";
  }
  if (sealed.poisoned) return where() + "a value that is not finite was logged: " + text(section);
  if (conduct_[source].kept_out > in_flight_max)
    return where() + "a push of a source in quarantine was logged: " + text(section);
  if (!same_bytes(record.payload, sealed.frame))
    return where() + "other bytes than sealed: " + text(section);
  for (std::size_t i = 0; i < sealed.keys.size(); ++i) {
    auto& of_key = history_[sealed.keys[i]];
    row_at next = of_key.empty() ? row_at{} : of_key.back();
    next.lsn = record.lsn;
    next.count += sealed.counts[i];
    for (std::uint32_t d = 0; d < sums_dim; ++d) next.sum[d] += sealed.gradients[i * sums_dim + d];
    of_key.push_back(next);
  }
  return std::nullopt;
}

const oracle::row_at* oracle::row(std::uint64_t key, lsn at) const {
  const auto of_key = history_.find(key);
  if (of_key == history_.end()) return nullptr;
  const auto& rows = of_key->second;
  const auto after = std::ranges::upper_bound(rows, at, {}, &row_at::lsn);
  return after == rows.begin() ? nullptr : &*std::prev(after);
}

oracle::verdict oracle::check_dropped(const storage::memory_log::contents& disk,
                                      lsn flushed,
                                      lsn keep_from) const {
  if (disk.first.value > flushed.value + 1) {
    return where() + "the log begins at " + text(disk.first.value) +
           ", rows hold everything only through " + text(flushed.value);
  }
  if (disk.first > keep_from) {
    return where() + "the log begins at " + text(disk.first.value) +
           ", a checkpoint needs it from " + text(keep_from.value);
  }
  return std::nullopt;
}

oracle::verdict oracle::check_ack(const schemas::push_ack& ack, std::uint32_t source) const {
  if (ack.status != errc::ok && !is_permanent(ack.status)) return std::nullopt;
  if (ack.watermark <= last_[source]) return std::nullopt;
  return where() + "acknowledged " + text(ack.watermark.value) + " of source " + text(source) +
         ", the log has only " + text(last_[source].value);
}

oracle::verdict oracle::check_watermark(std::uint32_t source, batch_number told) const {
  if (told <= last_[source]) return std::nullopt;
  return where() + "tells watermark " + text(told.value) + ", the log has only " +
         text(last_[source].value);
}

oracle::verdict oracle::check_complete(std::uint32_t source, batch_number batch) const {
  if (batch <= last_[source] || sealed_.at(source, batch, shard_).keys.empty()) return std::nullopt;
  return where() + "batch " + text(batch.value) + " of source " + text(source) +
         " counts as complete, the log has only " + text(last_[source].value);
}

void oracle::reopened() { version_ = 0; }

oracle::verdict oracle::check_version(std::uint64_t version) {
  if (version < version_) {
    return where() + "the version went back from " + text(version_) + " to " + text(version);
  }
  version_ = version;
  return std::nullopt;
}

oracle::verdict oracle::check_pull(const schemas::pull_section& asked,
                                   const schemas::pull_reply& reply) {
  if (reply.status != errc::ok) return where() + "a pull was refused: " + reply.detail;
  if (reply.lsn > read_)
    return where() + "a reader saw position " + text(reply.lsn.value) + ", not in the log";
  if (reply.lsn < seen_lsn_) {
    return where() + "a reader saw " + text(reply.lsn.value) + " after " + text(seen_lsn_.value);
  }
  seen_lsn_ = reply.lsn;
  if (auto wrong = check_version(reply.version)) return wrong;
  for (std::size_t b = 0; b < asked.blocks.size(); ++b) {
    if (!is_as_logged(asked.blocks[b], reply.blocks[b], reply.lsn)) {
      return where() + "a reader saw a row that is not the log's at position " +
             text(reply.lsn.value);
    }
  }
  return std::nullopt;
}

bool oracle::is_as_logged(const schemas::pull_block& asked,
                          const schemas::pulled_block& got,
                          lsn at) const {
  const auto values = got.fp32_values();
  for (std::size_t i = 0; i < asked.keys.size(); ++i) {
    if (asked.table == judged) continue;  // for the replay
    const row_at* expected = row(asked.keys[i], at);
    if (got.is_absent(i) != (expected == nullptr)) return false;
    // Rows of the other table depend on the order: the replay is for them.
    if (expected == nullptr || asked.table != sums) continue;
    if (!std::ranges::equal(values.subspan(i * sums_dim, sums_dim), expected->sum)) return false;
  }
  return true;
}

oracle::verdict oracle::check_finished(const ps::shard& state,
                                       const schemas::job_schema& schema) const {
  std::map<std::uint64_t, row_at> expected;
  for (std::uint32_t source = 0; source < sealed_.sources(); ++source) {
    for (std::uint64_t batch = 1; batch <= sealed_.batches(); ++batch) {
      const sealed_section& sealed = sealed_.at(source, batch_number{batch}, shard_);
      if (voided_.contains({source, batch_number{batch}})) continue;
      for (std::size_t i = 0; i < sealed.keys.size(); ++i) {
        row_at& row_of = expected[sealed.keys[i]];
        row_of.count += sealed.counts[i];
        for (std::uint32_t d = 0; d < sums_dim; ++d)
          row_of.sum[d] += sealed.gradients[i * sums_dim + d];
      }
    }
    if (last_[source].value != sealed_.batches()) {
      return where() + "source " + text(source) + " ends at batch " + text(last_[source].value);
    }
  }
  verdict wrong;
  for (const auto& table : schema.tables) {
    if (table.id == judged) continue;
    std::size_t rows = 0;
    state.visit(table.id, [&](row_key key, std::uint32_t count, std::span<const float> floats) {
      ++rows;
      const auto it = expected.find(key.value);
      const bool same = it != expected.end() && count == it->second.count &&
                        (table.id != sums || std::ranges::equal(floats, it->second.sum));
      if (!same)
        wrong = where() + "row " + text(key.value) + " of table " + table.name +
                " is not the sum of its batches";
    });
    if (rows != expected.size())
      wrong = where() + "table " + table.name + " has too many or too few rows";
  }
  return wrong;
}

oracle::verdict oracle::check_replay(const schemas::digest_reply& digest,
                                     std::uint64_t version,
                                     lsn through,
                                     const schemas::job_schema& schema) const {
  const auto replayed = new_state(shard_, schema);
  for (const auto& record : records_) {
    if (record.lsn > through) break;
    if (const auto redone = replayed->redo(record); !redone)
      return where() + describe(redone.error());
  }
  const auto made = replayed->digest();
  if (digest.low != made.low || digest.high != made.high || digest.rows != made.rows)
    return where() + "the tables are not what a replay of the log makes";
  if (version != replayed->version())
    return where() + "the version is not what a replay of the log makes";
  return std::nullopt;
}

}  // namespace headrace::simulation
