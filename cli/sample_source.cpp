#include "cli/sample_source.hpp"

#include "base/byte_io.hpp"
#include "cli/sample_log.hpp"
#include "schemas/hash.hpp"
#include "worker/batch/history_mix.hpp"
#include "worker/ingest/replayed_source.hpp"
#include "worker/text/text_filter.hpp"

#include <optional>
#include <span>
#include <string>
#include <utility>

namespace headrace::cli {
namespace {

void add(byte_writer& all, const worker::label_spec& label) {
  all.text(label.column);
  all.number(label.is);
  all.number(label.threshold);
}

void add(byte_writer& all, const worker::sliding_window& window) {
  all.number(window.is);
  all.number(window.over_ms);
  all.number(window.of.size());
  for (const std::string& column : window.of) all.text(column);
  all.text(window.on);
  all.number(window.where.has_value());
  if (window.where) add(all, *window.where);
}

void add(byte_writer& all, const worker::feature_spec& feature) {
  for (const std::string* text :
       {&feature.name, &feature.column, &feature.salt, &feature.list_separator})
    all.text(*text);
  all.number(feature.kind);
  for (const worker::transform each : feature.transforms) all.number(each);
  all.number(feature.bucket_width);
  all.number(feature.list_max);
  all.number(feature.list_held_out);
  if (feature.window) add(all, *feature.window);
}

void add(byte_writer& all, const worker::window_limits& limits) {
  for (const std::uint64_t bound :
       {limits.out_of_order_ms, limits.keys_max, limits.key_events_max, limits.events_max})
    all.number(bound);
}

void add(byte_writer& all, const worker::join_spec& join) {
  for (const std::uint64_t value : {join.window_ms,
                                    join.out_of_order_ms,
                                    join.correct_ms,
                                    join.early_ms,
                                    join.seed,
                                    std::uint64_t{join.actions}})
    all.number(value);
  all.number(join.negative_share);
}

// What is drawn follows from the job's name, so that a run that was killed draws it again.
std::optional<worker::history_mix> history_of(const job& job) {
  if (job.train.mix_history == 0.0) return std::nullopt;
  return worker::history_mix({.share = job.train.mix_history,
                              .batches = job.train.history_batches,
                              .seed = schemas::hash64(std::as_bytes(std::span(job.name)))});
}

}  // namespace

std::uint64_t made_by(const job& job) {
  byte_writer all;
  for (const auto& feature : job.source.features) add(all, feature);
  for (const auto& cross : job.source.crosses) {
    all.text(cross.name);
    all.text(cross.salt);
    for (const std::uint32_t place : cross.of) all.number(place);
  }
  add(all, job.source.label);
  for (const auto& label : job.source.more_labels) add(all, label);
  if (job.join) {
    for (const std::string& action : job.join->actions) all.text(action);
    add(all, job.join->how);
  }
  all.number(worker::fingerprint_of(job.source.texts));
  add(all, job.source.windows);
  all.number(job.train.mix_history);
  all.number(job.train.history_batches);
  all.number(job.replay.passes);
  all.number(job.replay.shuffle);
  all.number(job.replay.seed);
  return schemas::hash64(all.take());
}

result<sample_source> sample_source::open(const job& job,
                                          const storage::job_folder& folder,
                                          const clock& time) {
  sample_source made(job, folder, time);
  auto events = made.open_events();
  if (!events) return events.error();
  made.source_ = std::move(*events);
  auto records = made.source_->count_records();
  if (!records) return records.error();
  made.records_ = *records;
  return made;
}

// The job's source, as often as it is to be learned.
result<std::unique_ptr<worker::event_source>> sample_source::open_events() {
  if (worker::is_live(job_->source.arrives)) {
    auto live = live_stream::open(*job_, *folder_, *time_);
    if (!live) return live.error();
    live_ = std::move(*live);
    return live_->source();
  }
  auto once = worker::make_source(job_->source);
  if (!once || !job_->replay.needed()) return once;
  auto replayed = worker::replayed_source::read(
      std::move(*once),
      {.passes = job_->replay.passes, .shuffle = job_->replay.shuffle, .seed = job_->replay.seed});
  if (!replayed) return replayed.error();
  if (job_->replay.validate_every > 0) pass_records_ = (*replayed)->pass_records();
  return std::unique_ptr<worker::event_source>(std::move(*replayed));
}

result<std::unique_ptr<worker::sealed_stream>> sample_source::seal(
    std::unique_ptr<storage::ordered_log> log,
    batch_number first,
    const std::function<batch_number()>& covered) {
  std::optional<worker::pacer> pace;
  if (job_->pace_duration_ns > 0) pace.emplace(job_->pace_duration_ns, records_);
  worker::batch_builder builder({.source = source_of(*job_),
                                 .schema_version = job_->schema.version,
                                 .samples_max = job_->train.batch_max,
                                 .wait_ns = job_->train.batch_wait_ns});
  auto retained = sample_retention_of(*job_, *folder_, *log, *time_, covered);
  if (!retained) return retained.error();
  auto stream =
      std::make_unique<worker::sealed_stream>(worker::sealed_stream::parts{std::move(source_),
                                                                           std::move(log),
                                                                           std::move(builder),
                                                                           pace,
                                                                           pass_records_,
                                                                           std::move(*retained),
                                                                           history_of(*job_)},
                                              *time_);
  if (auto opened = stream->open(first); !opened) return opened.error();
  return stream;
}

}  // namespace headrace::cli
