#include "tests/simulation/oracle.hpp"

#include "tests/simulation/shard_under_test.hpp"

#include <algorithm>

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
    : shard_(shard), sealed_(sealed), last_(sealed.sources()) {}

oracle::verdict oracle::absorb(const storage::memory_log::contents& disk) {
  for (std::size_t i = read_.value; i < disk.records.size(); ++i) {
    if (auto wrong = absorb(disk.records[i])) return wrong;
  }
  return std::nullopt;
}

oracle::verdict oracle::absorb(const storage::log_record& record) {
  if (record.lsn.value != read_.value + 1)
    return where() + "the log has a hole before " + text(record.lsn.value);
  if (record.stamp_ms < stamp_ms_)
    return where() + "the stamp goes back at " + text(record.lsn.value);
  read_ = record.lsn;
  stamp_ms_ = record.stamp_ms;
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
  return check_section(record, *section, source);
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
      if (!sealed.poisoned) return where() + "a good push was voided: " + text(section);
      return std::nullopt;
    case storage::record_kind::push:
      break;
    default:
      return where() + "a record of unknown kind";
  }
  if (sealed.poisoned) return where() + "a value that is not finite was logged: " + text(section);
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
  const auto values = reply.blocks[0].fp32_values();
  for (std::size_t i = 0; i < asked.blocks[0].keys.size(); ++i) {
    const row_at* expected = row(asked.blocks[0].keys[i], reply.lsn);
    const auto got = values.subspan(i * sums_dim, sums_dim);
    const bool as_logged = expected != nullptr ? !reply.blocks[0].is_absent(i) &&
                                                     std::ranges::equal(got, expected->sum)
                                               : reply.blocks[0].is_absent(i);
    if (!as_logged) {
      return where() + "a reader saw a row that is not the log's at position " +
             text(reply.lsn.value);
    }
  }
  return std::nullopt;
}

oracle::verdict oracle::check_finished(const ps::shard& state,
                                       const schemas::job_schema& schema) const {
  std::map<std::uint64_t, row_at> expected;
  for (std::uint32_t source = 0; source < sealed_.sources(); ++source) {
    for (std::uint64_t batch = 1; batch <= sealed_.batches(); ++batch) {
      const sealed_section& sealed = sealed_.at(source, batch_number{batch}, shard_);
      if (sealed.poisoned) continue;
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

oracle::verdict oracle::check_replay(const ps::shard& state,
                                     const schemas::job_schema& schema,
                                     const storage::memory_log::contents& disk) const {
  const auto replayed = new_state(shard_, schema);
  for (const auto& record : disk.records) {
    if (const auto redone = replayed->redo(record); !redone)
      return where() + describe(redone.error());
  }
  const auto live = state.digest();
  const auto made = replayed->digest();
  if (live.low != made.low || live.high != made.high || live.rows != made.rows) {
    return where() + "the tables are not what a replay of the log makes";
  }
  if (state.version() != replayed->version())
    return where() + "the version is not what a replay of the log makes";
  return std::nullopt;
}

}  // namespace headrace::simulation
