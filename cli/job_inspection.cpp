#include "cli/job_inspection.hpp"

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
  void see(const schemas::push_section& section) {
    batch_number& end = ends_[{schemas::to_string(section.source), section.lane}];
    if (section.batch <= end) {
      ++duplicates_;
    } else {
      if (section.prev != end) ++gaps_;
      end = section.batch;
    }
  }
  std::uint64_t gaps() const { return gaps_; }
  std::uint64_t duplicates() const { return duplicates_; }
  using chain_name = std::pair<std::string, schemas::lane>;
  const std::map<chain_name, batch_number>& ends() const { return ends_; }

 private:
  std::map<chain_name, batch_number> ends_;
  std::uint64_t gaps_ = 0;
  std::uint64_t duplicates_ = 0;
};

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
  return made;
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
  const auto log = open_log(folder_->sample_log(schemas::to_string({job_.source.name, 1})));
  if (!log && log.error().code == errc::not_found) return std::optional<std::uint64_t>{};
  if (!log) return log.error();
  return std::optional((*log)->last().last.value);
}

result<job_inspection::digest_report> job_inspection::digest() const {
  digest_report report;
  schemas::hash128 tables;
  schemas::hash128 replayed;
  schemas::hash128 weights;
  std::map<chain_audit::chain_name, std::vector<batch_number>> ends;
  for (std::uint32_t s = 0; s < job_.schema.shards; ++s) {
    const shard_id shard{s};
    chain_audit audit;
    lsn audited;
    result<void> decoded;
    auto read = read_log(shard, lsn{1}, [&](const storage::log_record& record) {
      ++report.records;
      audited = record.lsn;
      if (!is_section(record.kind)) return true;
      if (record.kind == storage::record_kind::voided) ++report.voids;
      const auto section = schemas::decode_push(record.payload);
      if (section) {
        audit.see(*section);
      } else {
        decoded = section.error();
      }
      return decoded.ok();
    });
    if (!read) return read.error();
    if (!decoded) return decoded.error();
    report.gaps += audit.gaps();
    report.duplicates += audit.duplicates();
    for (const auto& [chain, end] : audit.ends()) ends[chain].push_back(end);

    const auto live = live_tables(shard, audited);
    if (!live) return live.error();
    const auto of_live = (*live)->digest();
    tables += {of_live.low, of_live.high};
    weights += {of_live.weights_low, of_live.weights_high};
    report.rows += of_live.rows;
    const auto again = replayed_tables(shard, audited);
    if (!again) return again.error();
    const auto of_replay = (*again)->digest();
    replayed += {of_replay.low, of_replay.high};
  }
  for (const auto& [chain, shards] : ends) {
    const bool everywhere = shards.size() == job_.schema.shards;
    if (everywhere) report.batches += std::min_element(shards.begin(), shards.end())->value;
  }
  report.tables = schemas::to_string(tables);
  report.replayed = schemas::to_string(replayed);
  report.weights = schemas::to_string(weights);
  const auto sealed = sealed_batches();
  if (!sealed) return sealed.error();
  report.sealed = *sealed;
  return report;
}

}  // namespace headrace::cli
