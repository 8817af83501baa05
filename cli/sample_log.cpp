#include "cli/sample_log.hpp"

#include "base/log.hpp"
#include "schemas/hash.hpp"
#include "storage/checkpoint_manifest.hpp"
#include "storage/engines/jetstream_stream.hpp"
#include "storage/engines/kafka_stream.hpp"
#include "storage/engines/message_log.hpp"
#include "storage/log_copy.hpp"
#include "storage/segment_files.hpp"
#include "storage/segment_log.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>
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

// The same of a stream, in slices: of a slice nothing is told but its newest batch.
result<void> note_earlier(storage::message_log& log,
                          std::uint64_t now_ms,
                          worker::sample_retention& into) {
  constexpr std::uint64_t slices = 16;
  const auto kept = log.last();
  if (kept.first == lsn{}) return {};
  const std::uint64_t batches = kept.last.value - kept.first.value + 1;
  const std::uint64_t of_slice = (batches + slices - 1) / slices;
  for (std::uint64_t from = kept.first.value; from <= kept.last.value; from += of_slice) {
    const std::uint64_t through = std::min(from + of_slice - 1, kept.last.value);
    std::uint64_t stamp_ms = now_ms;
    auto read = log.read_from(lsn{through}, [&](const storage::log_record& record) {
      stamp_ms = record.stamp_ms;
      return false;
    });
    if (!read) return read;
    into.earlier(batch_number{through}, stamp_ms, log.bytes() / batches * (through - from + 1));
  }
  return {};
}

result<std::unique_ptr<storage::message_stream>> open_messages(const samples_spec& spec,
                                                               storage::broker_login login,
                                                               bool read_only) {
  if (spec.engine == sample_engine::kafka)
    return storage::open_kafka_stream({.login = std::move(login), .topic = spec.stream});
  storage::jetstream_options how;
  how.login = std::move(login);
  how.stream = spec.stream;
  how.read_only = read_only;
  return storage::open_jetstream_stream(how);
}

result<std::unique_ptr<storage::message_log>> open_stream(const job& job,
                                                          const storage::job_folder& folder,
                                                          bool read_only,
                                                          lsn continue_after) {
  const samples_spec& spec = job.samples;
  storage::broker_login login;
  login.endpoints = spec.servers;
  login.client_id = "headrace-" + job.name + "-samples";
  login.user = spec.user;
  login.tls = spec.tls;
  if (!spec.password_env.empty()) {
    const char* password = std::getenv(spec.password_env.c_str());
    if (password == nullptr) {
      return error{errc::bad_config,
                   "samples.password_env: there is no environment variable " + spec.password_env};
    }
    login.password = password;
  }
  auto stream = open_messages(spec, std::move(login), read_only);
  if (!stream) return stream.error();
  const auto& owner = folder.job();
  storage::message_log::options log;
  log.log = owner.name + "/" + std::to_string(owner.fingerprint) + "/" +
            schemas::to_string(source_of(job));
  log.read_only = read_only;
  log.continue_after = continue_after;
  return storage::message_log::open(std::move(*stream), std::move(log));
}

result<std::unique_ptr<storage::segment_log>> open_segments_to_read(
    const std::filesystem::path& folder) {
  storage::segment_log::options how;
  how.folder = folder;
  how.read_only = true;
  return storage::segment_log::open(std::move(how));
}

// What lies in the folder goes into a stream that has no records yet, or only the first of these:
// of a copy that was cut short.
result<std::unique_ptr<storage::message_log>> open_stream_of(const job& job,
                                                             const storage::job_folder& folder) {
  auto log = open_stream(job, folder, false, {});
  if (!log) return log;
  const auto segments =
      open_segments_to_read(folder.sample_log(schemas::to_string(source_of(job))));
  if (!segments && segments.error().code == errc::not_found) return log;
  if (!segments) return segments.error();
  const auto kept = (*segments)->last();
  if (kept.first == lsn{} || kept.last <= (*log)->last().last) return log;
  log_info("samples.copied",
           {{"from", std::max(kept.first.value, (*log)->last().last.value + 1)},
            {"through", kept.last.value}});
  if ((*log)->last().last == lsn{}) {
    log = open_stream(job, folder, false, lsn{kept.first.value - 1});
    if (!log) return log;
  }
  if (auto copied = storage::append_rest(**segments, **log); !copied) return copied.error();
  return log;
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
  if (job.samples.engine != sample_engine::segments) {
    auto stream = open_stream_of(job, folder);
    if (!stream) return stream.error();
    return std::unique_ptr<storage::ordered_log>(std::move(*stream));
  }
  storage::segment_log::options how;
  how.folder = folder.sample_log(schemas::to_string(source_of(job)));
  how.mode = std::max(job.durability.log, least);
  how.segment_bytes = sample_segment_bytes(job);
  auto log = storage::segment_log::open(std::move(how));
  if (!log) return log.error();
  return std::unique_ptr<storage::ordered_log>(std::move(*log));
}

result<std::unique_ptr<storage::ordered_log>> read_sample_log(const job& job,
                                                              const storage::job_folder& folder,
                                                              const std::string& source) {
  const bool is_stream =
      job.samples.engine != sample_engine::segments && source == schemas::to_string(source_of(job));
  if (is_stream) {
    auto stream = open_stream(job, folder, true, {});
    if (!stream) return stream.error();
    return std::unique_ptr<storage::ordered_log>(std::move(*stream));
  }
  auto log = open_segments_to_read(folder.sample_log(source));
  if (!log) return log.error();
  return std::unique_ptr<storage::ordered_log>(std::move(*log));
}

result<std::optional<worker::sample_retention>> sample_retention_of(
    const job& job,
    const storage::job_folder& folder,
    storage::ordered_log& log,
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
  auto* stream = dynamic_cast<storage::message_log*>(&log);
  auto noted = stream != nullptr ? note_earlier(*stream, time.now_ms(), made)
                                 : note_earlier(folder.sample_log(source), time.now_ms(), made);
  if (!noted) return noted.error();
  return std::optional(std::move(made));
}

}  // namespace headrace::cli
