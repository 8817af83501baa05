#include "cli/state_samples.hpp"

#include "base/nearest_word.hpp"
#include "cli/job/job_file.hpp"
#include "cli/sample_log.hpp"
#include "schemas/sample.hpp"
#include "storage/file_io.hpp"
#include "storage/job_folder.hpp"
#include "storage/ordered_log.hpp"
#include "worker/batch/sample_digest.hpp"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

namespace headrace::cli {
namespace {

namespace fs = std::filesystem;

result<job> read_job(const storage::job_folder& folder) {
  const fs::path file = folder.root() / "job.toml";
  const auto text = storage::read_text(file);
  if (!text) return text.error();
  return parse_job(*text, file.string(), {});
}

// Place of the feature among the keys of a sample: lists have none there, crosses stand behind.
result<std::size_t> place_of(const worker::source_spec& source, const std::string& name) {
  std::vector<std::string> names;
  const bool generated = source.arrives == worker::arrival::generated;
  for (const auto& feature : source.features) {
    if (feature.kind != worker::feature_kind::ids && !generated) names.push_back(feature.name);
  }
  for (const auto& cross : source.crosses) {
    if (!generated) names.push_back(cross.name);
  }
  const auto found = std::ranges::find(names, name);
  if (found != names.end()) return static_cast<std::size_t>(found - names.begin());
  const std::string nearest = nearest_word(name, names);
  return error{errc::bad_config,
               "--by " + name + ": the job has no such feature with one key a sample" +
                   (generated         ? "; its events are generated"
                    : nearest.empty() ? ""
                                      : "; did you mean '" + nearest + "'?")};
}

/// Reads the log into what is told of it.
class log_reading {
 public:
  log_reading(const std::string& source, std::optional<std::size_t> by)
      : source_(source), by_(by), digest_(by) {}

  result<void> read(storage::ordered_log& log) {
    result<void> taken;
    const auto read = log.read_from(lsn{1}, [&](const storage::log_record& record) {
      taken = take(record);
      return taken.ok();
    });
    return read ? taken : read;
  }

  sealed_samples told() const {
    sealed_samples made;
    made.source = source_;
    made.first_batch = first_;
    made.last_batch = last_;
    made.samples = digest_.samples();
    made.history = history_;
    made.keys = digest_.keys();
    made.set = schemas::to_string(digest_.set());
    made.order = schemas::to_string(digest_.order());
    return made;
  }

 private:
  result<void> take(const storage::log_record& record) {
    const auto batch = schemas::decode_sample_batch(record.payload);
    if (!batch) return damaged(record, batch.error().detail);
    if (by_ && *by_ >= batch->features)
      return damaged(record, "fewer features a sample than the job has");
    digest_.add(*batch);
    history_ += batch->history;
    if (first_ == 0) first_ = batch->batch.value;
    last_ = batch->batch.value;
    return {};
  }
  error damaged(const storage::log_record& record, const std::string& how) const {
    return {errc::corrupt,
            "samples of " + source_ + ", record " + std::to_string(record.lsn.value) + ": " + how};
  }

  std::string source_;
  std::optional<std::size_t> by_;
  worker::sample_digest digest_;
  std::uint64_t first_ = 0;
  std::uint64_t last_ = 0;
  std::uint64_t history_ = 0;
};

}  // namespace

result<sealed_samples> read_sealed_samples(const fs::path& state, const std::string& by) {
  const auto folder = storage::job_folder::open_read_only(state);
  if (!folder) return folder.error();
  const auto described = read_job(**folder);
  if (!described) return described.error();
  std::optional<std::size_t> place;
  if (!by.empty()) {
    const auto found = place_of(described->source, by);
    if (!found) return found.error();
    place = *found;
  }
  const std::string source = schemas::to_string(source_of(*described));
  log_reading reading(source, place);
  const auto log = read_sample_log(*described, **folder, source);
  if (!log && log.error().code != errc::not_found) return log.error();  // it has no samples yet
  if (log) {
    if (auto read = reading.read(**log); !read) return read.error();
  }
  return reading.told();
}

}  // namespace headrace::cli
