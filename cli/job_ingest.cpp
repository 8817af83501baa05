#include "cli/job_ingest.hpp"

#include "base/log.hpp"
#include "base/parse_number.hpp"
#include "base/process_secret.hpp"
#include "cli/job_server.hpp"
#include "cli/sample_log.hpp"
#include "cli/sample_source.hpp"
#include "cli/telemetry/sealing_series.hpp"
#include "schemas/follow.hpp"
#include "storage/file_io.hpp"

#include <caf/actor_system.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>

#include <cstdio>
#include <string_view>
#include <utility>

namespace headrace::cli {
namespace {

constexpr std::uint64_t worker_gone_ns = 2'000'000'000;

// What names the sample log in `folder`: drawn when it is first served, never 0.
result<std::uint64_t> stream_of(const std::filesystem::path& folder) {
  const std::filesystem::path file = folder / "STREAM";
  const auto kept = storage::read_text(file);
  if (kept) {
    const auto number = parse_hex<std::uint64_t>(std::string_view(*kept).substr(0, 16));
    if (kept->size() == 17 && number && *number != 0) return *number;
    return error{errc::corrupt,
                 "'" + file.string() + "' is damaged; restore the state folder from a copy"};
  }
  if (kept.error().code != errc::not_found) return kept.error();
  const std::uint64_t drawn = drawn_number();
  char text[18];
  std::snprintf(text, sizeof text, "%016llx\n", static_cast<unsigned long long>(drawn));
  if (auto written = storage::replace_file(file, text); !written) return written.error();
  return drawn;
}

}  // namespace

job_ingest::~job_ingest() { stop(); }

result<std::unique_ptr<job_ingest>> job_ingest::start(caf::actor_system& system,
                                                      actors::transport_context& context,
                                                      const job& job,
                                                      const options& how,
                                                      const clock& time) {
  std::unique_ptr<job_ingest> made(new job_ingest);
  made->job_ = job;
  made->time_ = &time;
  made->system_ = &system;
  if (job.replay.validate_every > 0) {
    return error{errc::bad_config,
                 "replay.validate_every: passes are validated by 'headrace run', not over "
                 "'headrace ingest'"};
  }
  auto folder = storage::job_folder::open(how.state, identity(job), storage::job_role::ingest);
  if (!folder) return folder.error();
  made->folder_ = std::move(*folder);
  if (auto begun = made->begin(system, context, how); !begun) return begun.error();
  return made;
}

result<void> job_ingest::begin(caf::actor_system& system,
                               actors::transport_context& context,
                               const options& how) {
  // The joiner's state lies beside what a worker keeps.
  if (auto made = storage::make_folder(folder_->worker()); !made) return made.error();
  // The job as it runs now, for `inspect`.
  if (auto kept = storage::replace_file(folder_->root() / "job.toml", job_.text); !kept)
    return kept.error();
  auto source = sample_source::open(job_, *folder_, *time_);
  if (!source) return source.error();
  live_ = source->take_live();
  const std::uint64_t records = source->records();
  // What was given away must be there after a kill.
  auto log = open_sample_log(job_, *folder_, schemas::log_mode::os);
  if (!log) return log.error();
  const batch_number behind{(*log)->last().last.value + 1};
  const auto samples = folder_->sample_log(schemas::to_string(source_of(job_)));
  if (auto made = storage::make_folder(samples); !made) return made.error();
  const auto stream_id = stream_of(samples);
  if (!stream_id) return stream_id.error();
  auto stream = source->seal(std::move(*log), behind, [progress = progress_] {
    return batch_number{progress->covered.load(std::memory_order_relaxed)};
  });
  if (!stream) return stream.error();
  worker::sample_shelf::settings shelf;
  shelf.source = source_of(job_);
  shelf.job_fingerprint = folder_->job().fingerprint;
  shelf.made_by = made_by(job_);
  shelf.stream = *stream_id;
  shelf.records = records;
  shelf.live = (*stream)->live();
  actor_ = system.spawn<actors::samples_actor, caf::detached>(
      std::move(*stream), std::move(shelf), *time_, board_, progress_);
  auto served =
      actors::router::open(context, {how.listen}, [actor = actor_](actors::section_job job) {
        if (job.kind == schemas::message_kind::follow) {
          return job.answer(schemas::encode(
              schemas::follow_reply{errc::not_found,
                                    "samples are served here: follow an address of the servers",
                                    0,
                                    {}}));
        }
        if (job.kind != schemas::message_kind::samples) return;
        caf::anon_send(actor,
                       actors::serve_atom_v,
                       std::make_shared<const actors::section_job>(std::move(job)));
      });
  if (!served && served.error().code == errc::in_use) {
    return error{errc::in_use,
                 "'" + how.listen + "' is taken; choose another address with --listen"};
  }
  if (!served) return served.error();
  router_ = std::move(*served);
  how.metrics->add([board = board_, progress = progress_, time = time_](metrics_page& page) {
    sealing_figures now;
    now.samples = board->read().samples;
    now.newest = progress->newest.load(std::memory_order_relaxed);
    now.learned = progress->learned.load(std::memory_order_relaxed);
    const std::uint64_t heard_ns = progress->heard_ns.load(std::memory_order_relaxed);
    if (heard_ns != 0) now.heard_ns_ago = time->steady_ns() - heard_ns;
    say_sealing(now, page);
  });
  if (!live_) return {};
  return live_->serve(context, board_, how.metrics);
}

std::string job_ingest::not_ready() const {
  if (live_) return live_->not_ready();
  if (const auto failure = board_->failure()) return describe(*failure);
  return "";
}

void job_ingest::finish_early() {
  if (live_) live_->close();
  caf::anon_send(actor_, actors::stop_atom_v);
}

bool job_ingest::drained() const {
  if (!progress_->sealed_all.load(std::memory_order_acquire)) return false;
  if (progress_->learned.load(std::memory_order_relaxed) >= sealed()) return true;
  const std::uint64_t heard_ns = progress_->heard_ns.load(std::memory_order_relaxed);
  return heard_ns == 0 || time_->steady_ns() > heard_ns + worker_gone_ns;
}

void job_ingest::stop() {
  if (live_) live_->close();
  if (router_) router_->stop();
  if (actor_) {
    caf::scoped_actor self{*system_};
    self->send_exit(actor_, caf::exit_reason::user_shutdown);
    self->wait_for(actor_);
    actor_ = nullptr;
  }
  if (!live_) return;
  if (auto stopped = live_->stop(); !stopped)
    log_warn("events.not_closed", {{"error", describe(stopped.error())}});
}

}  // namespace headrace::cli
