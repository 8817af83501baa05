#include "cli/job_inspection.hpp"

#include "cli/sample_log.hpp"
#include "cli/state_manifest.hpp"
#include "ps/recovery/cut_tables.hpp"
#include "schemas/hash.hpp"
#include "storage/file_io.hpp"
#include "storage/rocks_row_store.hpp"
#include "storage/segment_log.hpp"

#include <algorithm>
#include <map>
#include <utility>

namespace headrace::cli {
namespace {

/// Follows the chains of one shard's log: one for each (source, lane).
class chain_audit {
 public:
  using chain_name = std::pair<std::string, schemas::lane>;
  /// `from_the_middle`: the log no longer begins at 1, and where its chains began is not known.
  explicit chain_audit(bool from_the_middle) : from_the_middle_(from_the_middle) {}

  void see(const schemas::push_section& section) {
    const chain_name name{schemas::to_string(section.source), section.lane};
    if (from_the_middle_ && !ends_.contains(name)) {
      ends_[name] = section.batch;
      return;
    }
    batch_number& end = ends_[name];
    if (section.batch <= end) {
      ++duplicates_;
    } else {
      if (section.prev != end) ++gaps_;
      end = section.batch;
    }
  }
  std::uint64_t gaps() const { return gaps_; }
  std::uint64_t duplicates() const { return duplicates_; }

 private:
  std::map<chain_name, batch_number> ends_;
  bool from_the_middle_;
  std::uint64_t gaps_ = 0;
  std::uint64_t duplicates_ = 0;
};

std::string text(lsn at) { return std::to_string(at.value); }
std::string text(shard_id shard) { return std::to_string(shard.value); }

bool is_section(storage::record_kind kind) {
  using storage::record_kind;
  return kind == record_kind::push || kind == record_kind::advance || kind == record_kind::voided;
}

}  // namespace

result<job_inspection> job_inspection::open(const std::filesystem::path& state) {
  job_inspection made;
  auto folder = storage::job_folder::open_read_only(state);
  if (!folder) return folder.error();
  made.folder_ = std::move(*folder);
  const auto file = state / "job.toml";
  const auto text = storage::read_text(file);
  if (!text) return text.error();
  auto described = parse_job(*text, file.string(), {});
  if (!described) return described.error();
  made.job_ = std::move(*described);
  auto rows = storage::rocks_row_store::open(made.folder_->rows(), true);
  if (!rows) return rows.error();
  made.rows_ = std::move(*rows);
  return made;
}

result<std::unique_ptr<storage::ordered_log>> job_inspection::open_log(
    const std::filesystem::path& folder) const {
  storage::segment_log::options how;
  how.folder = folder;
  how.read_only = true;
  auto log = storage::segment_log::open(std::move(how));
  if (!log) return log.error();
  return std::unique_ptr<storage::ordered_log>(std::move(*log));
}

result<void> job_inspection::read_log(shard_id shard,
                                      lsn from,
                                      const storage::ordered_log::visitor& visit) const {
  auto log = open_log(folder_->shard_log(shard));
  if (!log) return log.error();
  return (*log)->read_from(from, visit);
}

result<void> job_inspection::redo(shard_id shard, lsn from, lsn through, ps::shard& into) const {
  result<void> redone;
  auto read = read_log(shard, from, [&](const storage::log_record& record) {
    if (record.lsn > through) return false;  // a running server is ahead of what was audited
    redone = into.redo(record);
    return redone.ok();
  });
  if (!read) return read;
  return redone;
}

result<std::unique_ptr<ps::shard>> job_inspection::live_tables(shard_id shard, lsn through) const {
  auto made =
      std::make_unique<ps::shard>(shard, job_.schema, ps::shard_limits{}, headrace::epoch{1});
  const auto flushed = made->load(*rows_);
  if (!flushed) return flushed.error();
  if (auto redone = redo(shard, lsn{flushed->value + 1}, through, *made); !redone)
    return redone.error();
  if (through != all && made->newest() > through) {
    return error{
        errc::not_found,
        "rows of shard " + text(shard) + " hold record " + text(made->newest()) + " already"};
  }
  return made;
}

result<lsn> job_inspection::last_until(shard_id shard, std::uint64_t ms) const {
  const auto log = open_log(folder_->shard_log(shard));
  if (!log) return log.error();
  lsn last;
  bool known = (*log)->last().first <= lsn{1};
  const auto read = (*log)->read_from(lsn{1}, [&](const storage::log_record& record) {
    if (record.stamp_ms > ms) return false;
    last = std::max(last, record.lsn);
    known = true;
    return true;
  });
  if (!read) return read.error();
  if (known) return last;
  return error{
      errc::not_found,
      "the log of shard " + text(shard) + " begins later, at record " + text((*log)->last().first)};
}

result<std::unique_ptr<ps::shard>> job_inspection::replayed_tables(shard_id shard,
                                                                   lsn through) const {
  auto made =
      std::make_unique<ps::shard>(shard, job_.schema, ps::shard_limits{}, headrace::epoch{1});
  auto log = open_log(folder_->shard_log(shard));
  if (!log) return log.error();
  if ((*log)->last().first.value > 1) {
    return error{errc::not_found,
                 "log of shard " + std::to_string(shard.value) + " begins at record " +
                     std::to_string((*log)->last().first.value) +
                     ": it cannot be replayed from its beginning"};
  }
  if (auto redone = redo(shard, lsn{1}, through, *made); !redone) return redone.error();
  return made;
}

result<std::optional<std::uint64_t>> job_inspection::sealed_batches() const {
  const auto log = read_sample_log(job_, *folder_, schemas::to_string(source_of(job_)));
  if (!log && log.error().code == errc::not_found) return std::optional<std::uint64_t>{};
  if (!log) return log.error();
  return std::optional((*log)->last().last.value);
}

// Counts the shard's records and follows their chains.
result<job_inspection::audited> job_inspection::audit(shard_id shard, digest_report& report) const {
  const auto log = open_log(folder_->shard_log(shard));
  if (!log) return log.error();
  audited seen;
  const std::string name = "log of shard " + std::to_string(shard.value);
  if (const lsn first = (*log)->last().first; first > lsn{1})
    seen.why_not_replayed = name + " begins at record " + std::to_string(first.value);
  chain_audit chains(!seen.why_not_replayed.empty());
  result<void> decoded;
  const auto read = (*log)->read_from(lsn{1}, [&](const storage::log_record& record) {
    ++report.records;
    seen.through = record.lsn;
    if (record.kind == storage::record_kind::install) {
      seen.why_not_replayed =
          name + " goes on from rows that were installed at record " + text(record.lsn);
    }
    if (!is_section(record.kind)) return true;
    if (record.kind == storage::record_kind::voided) ++report.voids;
    const auto section = schemas::decode_push(record.payload);
    if (section) {
      chains.see(*section);
    } else {
      decoded = section.error();
    }
    return decoded.ok();
  });
  if (!read) return read.error();
  if (!decoded) return decoded.error();
  report.gaps += chains.gaps();
  report.duplicates += chains.duplicates();
  return seen;
}

result<job_inspection::digest_report> job_inspection::digest() const {
  digest_report report;
  schemas::hash128 tables;
  schemas::hash128 replayed;
  schemas::hash128 weights;
  std::vector<std::vector<std::byte>> watermarks;
  for (std::uint32_t s = 0; s < job_.schema.shards; ++s) {
    const shard_id shard{s};
    const auto seen = audit(shard, report);
    if (!seen) return seen.error();
    const auto log = open_log(folder_->shard_log(shard));
    if (!log) return log.error();
    const auto live = ps::cut_tables::open(shard, job_.schema, *rows_, **log, seen->through);
    if (!live) return live.error();
    const auto of_live = live->digest();
    if (!of_live) return of_live.error();
    tables += {of_live->low, of_live->high};
    weights += {of_live->weights_low, of_live->weights_high};
    report.rows += of_live->rows;
    const auto state = live->position();
    if (!state) return state.error();
    watermarks.push_back(state->watermarks);
    if (!seen->why_not_replayed.empty()) report.why_not_replayed = seen->why_not_replayed;
    if (!report.why_not_replayed.empty()) continue;
    const auto again = replayed_tables(shard, seen->through);
    if (!again) return again.error();
    const auto of_replay = (*again)->digest();
    replayed += {of_replay.low, of_replay.high};
  }
  const auto marks = watermarks_of(watermarks);
  if (!marks) return marks.error();
  for (const auto& mark : *marks)
    (mark.lane == "rows" ? report.batches : report.dense_batches) += mark.batch_min.value;
  report.tables = schemas::to_string(tables);
  if (report.why_not_replayed.empty()) report.replayed = schemas::to_string(replayed);
  report.weights = schemas::to_string(weights);
  const auto sealed = sealed_batches();
  if (!sealed) return sealed.error();
  report.sealed = *sealed;
  return report;
}

}  // namespace headrace::cli
