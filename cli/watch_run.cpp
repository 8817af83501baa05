#include "cli/watch_run.hpp"

#include "base/log.hpp"
#include "cli/job/model_section.hpp"
#include "cli/live_table.hpp"
#include "cli/pages/report.hpp"
#include "cli/pass_validation.hpp"
#include "cli/run_series.hpp"
#include "storage/file_io.hpp"

#include <chrono>
#include <cstdio>
#include <optional>
#include <thread>
#include <utility>

namespace headrace::cli {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t second_ns = 1'000'000'000;
constexpr std::uint64_t unpaced_point_ns =
    250'000'000;                     // a run of a few seconds still gets a curve
constexpr auto poll_interval = 5ms;  // of a run of half a second still 1 %
constexpr std::chrono::milliseconds live_patience{500};
constexpr std::chrono::milliseconds final_patience{5'000};
constexpr std::chrono::milliseconds pull_patience{60'000};  // a starved machine costs no figure
constexpr std::uint64_t drain_patience_ns = 10 * second_ns;

/// Turns the board's totals into points and rates.
class run_meter {
 public:
  run_meter(job_worker& worker, run_series& series, const clock& time)
      : worker_(worker),
        series_(series),
        time_(time),
        before_(worker.before()),
        seconds_before_(series.points().empty() ? 0 : series.points().back().seconds),
        started_ns_(time.steady_ns()),
        last_ns_(started_ns_),
        last_samples_(before_.samples) {}

  const series_point& take(std::chrono::milliseconds patience) {
    const actors::progress now = worker_.board().read();
    const std::uint64_t now_ns = time_.steady_ns();
    series_point point;
    point.seconds = seconds_before_ + seconds();
    point.samples = now.samples;
    const double passed = static_cast<double>(now_ns - last_ns_) / 1e9;
    if (passed > 0)
      point.samples_per_second = static_cast<double>(now.samples - last_samples_) / passed;
    point.auc = now.auc;
    point.auc_recent = now.auc_recent;
    point.logloss = now.logloss;
    if (now.tail_samples > 0) {
      point.auc_tail = now.auc_tail;
      point.auc_frozen = now.auc_frozen;
    }
    point.staleness = now.staleness;
    auto shards = worker_.ask_shards(patience);
    counted_ = shards.ok();
    shards_ = counted_ ? std::move(*shards) : std::vector<schemas::status_reply>{};
    if (counted_) {
      rows_ = table_bytes_ = 0;
      for (const auto& shard : shards_) {
        rows_ += shard.rows;
        table_bytes_ += shard.bytes;
      }
    }
    point.rows = rows_;
    if (now.samples > before_.samples) {
      point.push_bytes_per_sample =
          static_cast<double>(now.push_bytes) / static_cast<double>(now.samples - before_.samples);
    }
    point.memory_bytes = resident_bytes();
    last_ns_ = now_ns;
    last_samples_ = now.samples;
    series_.add(point);
    return series_.points().back();
  }

  std::uint64_t since_last_ns() const { return time_.steady_ns() - last_ns_; }
  double seconds() const { return static_cast<double>(time_.steady_ns() - started_ns_) / 1e9; }
  std::uint64_t rows() const { return rows_; }
  std::uint64_t table_bytes() const { return table_bytes_; }
  /// As of the newest point; none where the server did not answer.
  const std::vector<schemas::status_reply>& shards() const { return shards_; }
  /// The newest point has the counts of its own moment.
  bool counted() const { return counted_; }

 private:
  job_worker& worker_;
  run_series& series_;
  const clock& time_;
  actors::progress before_;
  double seconds_before_;
  std::uint64_t started_ns_;
  std::uint64_t last_ns_;
  std::uint64_t last_samples_;
  std::vector<schemas::status_reply> shards_;
  std::uint64_t rows_ = 0;  // of all shards, when they were counted last
  std::uint64_t table_bytes_ = 0;
  bool counted_ = false;
};

/// Validates a replayed job where its ingest halts between two passes, and says how it goes on.
class pass_watch {
 public:
  /// Fails: as pass_validation::open.
  static result<pass_watch> open(job_worker& worker,
                                 const job& job,
                                 stop_signals& signals,
                                 const clock& time) {
    pass_watch made(worker, signals, time);
    if (job.replay.validate_every == 0) return made;
    auto opened = pass_validation::open(job, worker.folder().worker() / "passes.jsonl");
    if (!opened) return opened.error();
    made.validation_.emplace(std::move(*opened));
    return made;
  }

  /// Call it now and then.
  void look() {
    if (!validation_ || ended_) return;
    const std::uint64_t passes = worker_.board().read().passes;
    if (passes <= seen_) return;
    seen_ = passes;
    validate(passes);
    if (signals_.wait(0ms)) return;  // it ends here, and is validated when it goes on
    ended_ = validation_->enough();
    ended_ ? worker_.finish_early() : worker_.go_on();
  }
  /// After the source's last pass, which no halt follows.
  void look_at_end() {
    if (validation_ && !ended_) validate(worker_.passes());
  }
  std::vector<pass_figures> figures() const {
    return validation_ ? validation_->passes() : std::vector<pass_figures>{};
  }

 private:
  pass_watch(job_worker& worker, stop_signals& signals, const clock& time)
      : worker_(worker), signals_(signals), time_(time) {}

  // A pass that could not be validated costs its figures, nothing else.
  void validate(std::uint64_t pass) {
    const auto pull = [this](shard_id shard, const frame& section) {
      return worker_.pull(shard, section, pull_patience);
    };
    const auto stopped = [this] { return signals_.wait(0ms); };
    if (auto done = validation_->add(pass, time_.now_ms(), pull, stopped); !done)
      log_warn("replay.not_validated", {{"pass", pass}, {"error", describe(done.error())}});
  }

  job_worker& worker_;
  stop_signals& signals_;
  const clock& time_;
  std::optional<pass_validation> validation_;
  std::uint64_t seen_ = 0;
  bool ended_ = false;  // no more passes are wanted
};

run_result gather(job_worker& worker,
                  const job& job,
                  const watch_options& how,
                  const run_meter& meter,
                  double seconds) {
  run_result made;
  made.figures = worker.board().read();
  made.job = job.name;
  made.data = how.data;
  made.state = worker.folder().root().string();
  if (how.report) made.report = worker.folder().report().string();
  made.log_mode = name(job.durability.log);
  made.freeze_at = job.train.freeze_at;
  made.seconds = seconds;
  made.samples_this_run = made.figures.samples - worker.before().samples;
  made.push_bytes_this_run = made.figures.push_bytes;
  made.paced = job.pace_duration_ns > 0;
  made.resumed = worker.resumed();
  made.rows = meter.rows();
  made.table_bytes = meter.table_bytes();
  made.memory_bytes = resident_bytes();
  made.notes = how.notes;
  for (auto& note : label_notes(job)) made.notes.push_back(std::move(note));
  if (!meter.counted())
    made.notes.emplace_back(
        "rows, table_bytes: as of a moment before the end, the server did not answer");
  return made;
}

void show(job_worker& worker,
          const job& job,
          const watch_options& how,
          const run_meter& meter,
          const run_series& series,
          std::string stopped) {
  if (how.page == nullptr) return;
  dashboard_view now;
  now.job = job.name;
  now.data = how.data;
  now.seconds = meter.seconds();
  now.stopped = std::move(stopped);
  now.learned = worker.board().read();
  now.shards = meter.shards();
  if (worker.live() != nullptr) now.live = worker.live()->figures();
  if (how.served != nullptr) now.served = how.served->figures();
  how.page->show(std::move(now), series.points());
}

void keep_result(const job_worker& worker,
                 const run_result& made,
                 const run_series& series,
                 bool report) {
  if (auto kept = storage::replace_file(worker.folder().figures(), to_json(made) + "\n"); !kept) {
    log_warn("run.figures", {{"error", describe(kept.error())}});
  }
  if (!report) return;
  if (auto written = write_report(worker.folder().report(), made, series.points()); !written) {
    log_warn("run.report", {{"error", describe(written.error())}});
  }
}

}  // namespace

result<run_result> watch_run(job_worker& worker,
                             job_server* server,
                             const job& job,
                             const watch_options& how,
                             stop_signals& signals,
                             const clock& time) {
  auto series = run_series::open(worker.folder().worker() / "series.jsonl");
  if (!series) return series.error();
  auto passes = pass_watch::open(worker, job, signals, time);
  if (!passes) return passes.error();
  run_meter meter(worker, *series, time);
  const std::uint64_t point_ns = job.pace_duration_ns > 0 ? second_ns : unpaced_point_ns;
  std::uint64_t shown_ns = time.steady_ns();
  if (how.table) std::fputs(live_head().c_str(), stdout);
  std::uint64_t asked_ns = 0;  // when the first signal came
  while (!worker.board().ended()) {
    if (asked_ns != 0) {
      std::this_thread::sleep_for(poll_interval);
    } else if (signals.wait(poll_interval)) {
      asked_ns = time.steady_ns();
      worker.finish_early();
    }
    if (asked_ns == 0) passes->look();
    if (server != nullptr) {
      server->tick();
      if (auto failed = server->failure()) {
        worker.stop();
        return *failed;
      }
    }
    if (asked_ns != 0 && time.steady_ns() - asked_ns > drain_patience_ns) {
      // Nothing drains (no server, a full disk): what was not acknowledged is in the sample log.
      log_warn("run.not_drained", {{"after_s", drain_patience_ns / second_ns}});
      worker.stop();
      break;
    }
    if (meter.since_last_ns() < point_ns || worker.board().ended()) continue;
    worker.look_at_rows(time, live_patience);
    const series_point& point = meter.take(live_patience);
    show(worker, job, how, meter, *series, "");
    if (how.table && time.steady_ns() - shown_ns >= second_ns) {
      shown_ns += second_ns;
      std::fputs(live_line(point).c_str(), stdout);
      std::fflush(stdout);
    }
  }
  if (asked_ns == 0 && !worker.board().failure()) passes->look_at_end();
  const double seconds = meter.seconds();
  const series_point& last = meter.take(final_patience);
  if (how.table) std::fputs(live_line(last).c_str(), stdout);
  show(worker, job, how, meter, *series, asked_ns != 0 ? "stopped" : "finished");
  run_result made = gather(worker, job, how, meter, seconds);
  made.interrupted = asked_ns != 0;
  made.passes = passes->figures();
  keep_result(worker, made, *series, how.report);
  if (const auto failed = worker.board().failure()) return *failed;
  return made;
}

}  // namespace headrace::cli
