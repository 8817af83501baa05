#include "cli/sample_log.hpp"

#include "storage/checkpoint_manifest.hpp"
#include "storage/segment_files.hpp"
#include "storage/segment_log.hpp"

#include <algorithm>
#include <filesystem>
#include <string>
#include <utility>

namespace headrace::cli {
namespace {

constexpr std::uint32_t worker_generation =
    1;  // re-splitting a source, which begins a new one, comes later

// What a restart may need is removed only as a whole file, so a small log has small ones.
std::uint64_t sample_segment_bytes(const job& job) {
  constexpr std::uint64_t least = std::uint64_t{64} << 10;
  constexpr std::uint64_t most = std::uint64_t{64} << 20;
  const std::uint64_t keep = job.source.live.keep_bytes;
  if (!worker::is_live(job.source.arrives) || keep == 0) return most;
  return std::clamp(keep / 8, least, most);
}

// What earlier runs sealed, file by file: each is as young as the first batch of the next one.
result<void> note_earlier(const std::filesystem::path& folder,
                          std::uint64_t now_ms,
                          worker::sample_retention& into) {
  storage::segment_files::options how;
  how.folder = folder;
  how.read_only = true;
  how.check = storage::segment_check::newest;
  const auto files = storage::segment_files::open(how);
  if (!files) return files.error();
  const auto all = files->stretches(lsn{1});
  for (std::size_t i = 0; i + 1 < all.size(); ++i) {
    std::uint64_t stamp_ms = 0;
    auto read = storage::segment_files::read(
        all[i + 1], all[i + 1].next, [&](const storage::log_record& record) {
          stamp_ms = record.stamp_ms;
          return false;
        });
    if (!read) return read.error();
    into.earlier(batch_number{all[i + 1].next.value - 1}, stamp_ms, all[i].end);
  }
  if (!all.empty()) into.earlier(batch_number{files->last().value}, now_ms, all.back().end);
  return {};
}

// Through which batch rows on disk hold a source, by what the server wrote of them here since
// `since_ms`: an earlier text may be of rows that were rewound.
batch_number covered_by_rows(const std::filesystem::path& file,
                             const std::string& source,
                             bool has_network,
                             std::uint64_t since_ms) {
  const auto manifest = storage::read_manifest(file);
  if (!manifest || manifest->written_ms < since_ms) return {};
  batch_number rows;
  batch_number dense;
  for (const auto& mark : manifest->watermarks) {
    if (mark.source != source) continue;
    (mark.lane == "rows" ? rows : dense) = mark.batch_min;
  }
  return has_network ? std::min(rows, dense) : rows;
}

}  // namespace

schemas::source_id source_of(const job& job) { return {job.source.name, worker_generation}; }

result<std::unique_ptr<storage::ordered_log>> open_sample_log(const job& job,
                                                              const storage::job_folder& folder,
                                                              schemas::log_mode least) {
  storage::segment_log::options how;
  how.folder = folder.sample_log(schemas::to_string(source_of(job)));
  how.mode = std::max(job.durability.log, least);
  how.segment_bytes = sample_segment_bytes(job);
  auto log = storage::segment_log::open(std::move(how));
  if (!log) return log.error();
  return std::unique_ptr<storage::ordered_log>(std::move(*log));
}

result<std::optional<worker::sample_retention>> sample_retention_of(
    const job& job,
    const storage::job_folder& folder,
    const clock& time,
    const std::function<batch_number()>& covered) {
  if (!worker::is_live(job.source.arrives)) return std::optional<worker::sample_retention>{};
  const std::string source = schemas::to_string(source_of(job));
  worker::sample_retention::settings how;
  how.keep_ms = job.source.live.keep_ms;
  how.keep_bytes = job.source.live.keep_bytes;
  how.stretch_bytes = sample_segment_bytes(job) / 4;
  how.covered = covered;
  if (!covered)
    how.covered = [file = folder.checkpoint(),
                   source,
                   has_network = job.model->has_network(),
                   since_ms = time.now_ms()] {
      return covered_by_rows(file, source, has_network, since_ms);
    };
  worker::sample_retention made(std::move(how));
  if (auto noted = note_earlier(folder.sample_log(source), time.now_ms(), made); !noted)
    return noted.error();
  return std::optional(std::move(made));
}

}  // namespace headrace::cli
