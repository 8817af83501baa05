#include "cli/state_verify.hpp"

#include "cli/job/job_file.hpp"
#include "cli/sample_log.hpp"
#include "ps/recovery/cut_tables.hpp"
#include "schemas/hash.hpp"
#include "schemas/sample.hpp"
#include "storage/checkpoint_manifest.hpp"
#include "storage/file_io.hpp"
#include "storage/job_folder.hpp"
#include "storage/memory_log.hpp"
#include "storage/rocks_row_store.hpp"
#include "storage/segment_log.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <system_error>
#include <utility>

namespace headrace::cli {
namespace {

namespace fs = std::filesystem;

/// Walks through the folder; what it finds wrong it notes, and goes on.
class scrub {
 public:
  explicit scrub(const storage::job_folder& folder) : folder_(folder) {
    findings_.job = folder.job().name;
  }

  state_findings run() {
    read_manifest();
    const auto described = read_job();
    const auto rows = read_rows();
    if (described) {
      bool whole = rows != nullptr;
      schemas::hash128 sum;
      for (std::uint32_t s = 0; s < described->schema.shards; ++s) {
        whole = read_shard(shard_id{s}, described->schema, rows.get(), sum) && whole;
      }
      if (whole) findings_.digest = schemas::to_string(sum);
    }
    read_samples();
    if (described && described->samples.engine != sample_engine::segments) read_stream(*described);
    return std::move(findings_);
  }

 private:
  bool good(const result<void>& done) {
    if (!done) findings_.damaged.push_back(done.error());
    return done.ok();
  }

  void read_manifest() {
    const auto manifest = storage::read_manifest(folder_.checkpoint());
    if (manifest || manifest.error().code == errc::not_found) return;  // before the first flush
    good(manifest.error());
  }

  std::optional<job> read_job() {
    const fs::path file = folder_.root() / "job.toml";
    const auto text = storage::read_text(file);
    if (!text) {
      good(text.error());
      return std::nullopt;
    }
    auto described = parse_job(*text, file.string(), {});
    if (described) return std::move(*described);
    good(described.error());
    return std::nullopt;
  }

  std::unique_ptr<storage::rocks_row_store> read_rows() {
    auto rows = storage::rocks_row_store::open(folder_.rows(), true);
    if (!rows) {
      good(rows.error());
      return nullptr;
    }
    good((*rows)->verify());
    return std::move(*rows);
  }

  // Opening reads and checks every record; `see` decodes it.
  std::unique_ptr<storage::segment_log> read_log(
      const fs::path& path, const std::function<result<void>(const storage::log_record&)>& see) {
    storage::segment_log::options how;
    how.folder = path;
    how.read_only = true;
    auto log = storage::segment_log::open(std::move(how));
    if (!log) {
      good(log.error());
      return nullptr;
    }
    if (!read_records(**log, see)) return nullptr;
    return std::move(*log);
  }

  bool read_records(storage::ordered_log& log,
                    const std::function<result<void>(const storage::log_record&)>& see) {
    ++findings_.logs;
    result<void> decoded;
    const auto read = log.read_from(lsn{1}, [&](const storage::log_record& record) {
      ++findings_.records;
      decoded = see(record);
      return decoded.ok();
    });
    return good(read) && good(decoded);
  }

  bool read_shard(shard_id id,
                  const schemas::job_schema& schema,
                  storage::row_store* rows,
                  schemas::hash128& sum) {
    if (rows == nullptr) return false;
    const auto position = rows->position(id);
    if (!position) return good(result<void>(position.error()));
    std::unique_ptr<storage::ordered_log> log;
    std::error_code absent;
    if (position->flushed == lsn{} && !fs::exists(folder_.shard_log(id), absent)) {
      log = std::make_unique<storage::memory_log>();  // a shard that never learned anything
    } else {
      log = read_log(folder_.shard_log(id),
                     [](const storage::log_record&) { return result<void>(); });
    }
    if (log == nullptr) return false;
    const auto tables = ps::cut_tables::open(id, schema, *rows, *log);
    if (!tables) return good(tables.error());
    const auto digest = tables->digest();
    if (!digest) return good(digest.error());
    sum += {digest->low, digest->high};
    findings_.rows += digest->rows;
    return true;
  }

  void read_samples() {
    std::error_code failure;
    for (fs::directory_iterator at(folder_.root() / "samples", failure), end; !failure && at != end;
         at.increment(failure)) {
      read_log(at->path(), decode_of("'" + at->path().string() + "'"));
    }
  }

  // Of a job whose samples a broker keeps.
  void read_stream(const job& described) {
    const std::string source = schemas::to_string(source_of(described));
    const auto log = read_sample_log(described, folder_, source);
    if (!log && log.error().code == errc::not_found) return;
    if (!log) {
      good(log.error());
      return;
    }
    read_records(**log, decode_of("samples of " + source));
  }

  static std::function<result<void>(const storage::log_record&)> decode_of(std::string log) {
    return [name = std::move(log)](const storage::log_record& record) -> result<void> {
      const auto batch = schemas::decode_sample_batch(record.payload);
      if (batch) return {};
      return error{
          errc::corrupt,
          name + ", record " + std::to_string(record.lsn.value) + ": " + batch.error().detail};
    };
  }

  const storage::job_folder& folder_;
  state_findings findings_;
};

}  // namespace

result<state_findings> verify_state(const fs::path& state) {
  const auto folder = storage::job_folder::open_read_only(state);
  if (!folder) return folder.error();
  return scrub(**folder).run();
}

}  // namespace headrace::cli
