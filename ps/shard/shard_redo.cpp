// Records read back from the log.
#include "base/byte_io.hpp"
#include "base/check.hpp"
#include "ps/shard/shard.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace headrace::ps {
namespace {

std::string record_name(lsn at, shard_id shard) {
  return "log record " + std::to_string(at.value) + " of shard " + std::to_string(shard.value);
}

std::size_t rows_of(const schemas::push_section& section) {
  std::size_t rows = 0;
  for (const schemas::row_block& block : section.blocks) rows += block.keys.size();
  return rows;
}

}  // namespace

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
  if (record.kind == storage::record_kind::install) {
    return error{errc::corrupt,
                 name +
                     " tells of rows that were put in place, but they are not the rows here: a "
                     "rewind or undo was cut off; run it again"};
  }
  const bool known =
      record.kind == storage::record_kind::push || record.kind == storage::record_kind::advance ||
      record.kind == storage::record_kind::voided || record.kind == storage::record_kind::removal;
  if (!known || (record.kind != storage::record_kind::push && !record.decisions.empty())) {
    return error{
        errc::corrupt,
        name + " is of kind " + std::to_string(static_cast<unsigned>(record.kind)) + " with " +
            std::to_string(record.decisions.size()) +
            " bytes of decisions, which this build cannot redo; use the build that wrote it"};
  }
  return {};
}

result<void> shard::redo(const storage::log_record& record) { return redo(record, false); }
result<void> shard::redo_deciding(const storage::log_record& record) { return redo(record, true); }

result<void> shard::redo(const storage::log_record& record, bool deciding) {
  CHECK(in_flight_.empty());
  if (record.lsn <= applied_) return {};  // done already
  if (auto good = check_record(record); !good) return good;
  if (record.kind == storage::record_kind::removal) return redo_removal(record, deciding);
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
  admission_bits admitted;
  if (deciding) {
    admitted = admit_rows(*section, record.stamp_ms);
  } else if (!record.decisions.empty()) {
    auto read = decode_admissions(record.decisions.bytes(), rows_of(*section));
    if (!read) return corrupt(read.error());
    admitted = std::move(*read);
    note_newcomers(*section, record.stamp_ms);
  }
  rule_.admit(section->source, section->lane, section->batch, record.lsn);
  apply(*section, admitted, record.lsn, record.stamp_ms);
  if (deciding) forget_admissions(*section, admitted);
  quarantine_.note(section->source.name, record.reason);
  return {};
}

/// What was asked before the record was written, its sketch learns again.
void shard::note_newcomers(const schemas::push_section& section, std::uint64_t stamp_ms) {
  std::vector<row_header*> found;
  for (const schemas::row_block& block : section.blocks) {
    admission& rule = gatekeepers_[block.table.value].rule;
    if (!rule.counts()) continue;
    const table& of = tables_[block.table.value];
    const std::uint64_t ttl_ms = of.spec().expiry.idle_ms();
    found.resize(block.keys.size());
    of.find(block.keys, found);
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (found[i] != nullptr && is_live(*found[i], stamp_ms, ttl_ms)) continue;
      rule.note(block.keys[i], block.counts.empty() ? 1 : block.counts[i], stamp_ms);
    }
  }
}

result<void> shard::redo_removal(const storage::log_record& record, bool deciding) {
  const auto corrupt = [&](const std::string& why) {
    return error{errc::corrupt, record_name(record.lsn, id_) + " cannot be redone: " + why};
  };
  auto what = decode_removal(record.payload.bytes());
  if (!what) return corrupt(what.error().detail);
  if (what->table.value >= tables_.size())
    return corrupt("it is of a table that the job does not have");
  for (const std::uint64_t key : what->keys) {
    if (schemas::shard_of(row_key{key}, schema_.shards) != id_)
      return corrupt("key " + std::to_string(key) + " does not live on this shard");
  }
  if (deciding && what->reason == removal::why::expired) {
    const table& of = tables_[what->table.value];
    std::erase_if(what->keys, [&](std::uint64_t key) {
      const row_header* row = of.find(key);
      return row == nullptr || is_live(*row, record.stamp_ms, of.spec().expiry.ttl_ms);
    });
  }
  apply(*what, record.lsn, record.stamp_ms);
  return {};
}

storage::shard_position shard::install_at(lsn at,
                                          const position_state& before,
                                          bool retrain) const {
  position_state state;
  state.version = std::max(before.version, version_) + 1;
  state.oldest_version = state.version;
  state.stamp_ms = std::max(before.stamp_ms, stamp_ms_);
  state.rows = counts().rows;
  state.watermarks = retrain ? rule_.save() : before.watermarks;
  // Who is in quarantine is no matter of rows: it stays as it is.
  quarantine ward(limits_.quarantine);
  byte_reader judged(before.judgement);
  const bool known = !before.judgement.empty() && ward.load(judged).ok();
  state.judgement = save_judgement(known ? ward : quarantine_);
  return {.flushed = at, .epoch = epoch_, .state = encode_position_state(state)};
}

}  // namespace headrace::ps
