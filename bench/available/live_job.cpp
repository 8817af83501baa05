#include "bench/available/live_job.hpp"

#include "actors/event_front.hpp"
#include "actors/ingest_actor.hpp"
#include "actors/progress_board.hpp"
#include "actors/system_config.hpp"
#include "actors/transport/context.hpp"
#include "actors/transport/router.hpp"
#include "base/clock.hpp"
#include "storage/segment_log.hpp"
#include "worker/batch/sealed_stream.hpp"
#include "worker/events/event_intake.hpp"
#include "worker/events/event_schema.hpp"
#include "worker/events/live_source.hpp"
#include "worker/ingest/source_spec.hpp"

#include <caf/actor_system.hpp>
#include <caf/send.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <condition_variable>
#include <mutex>
#include <utility>

namespace headrace::bench {
namespace {

constexpr std::uint64_t join_window_ms = 10'000;
constexpr std::uint64_t out_of_order_ms = 1'000;

/// What was seen so far. Any thread.
class note_book {
 public:
  void push_came(std::uint64_t at_ns) {
    const std::lock_guard lock(mutex_);
    seen_.arrived_ns.push_back(at_ns);
  }
  void batch_came(std::uint64_t through, std::uint64_t at_ns) {
    const std::lock_guard lock(mutex_);
    seen_.batches.push_back({through, at_ns});
    changed_.notify_all();
  }
  void wait_for(std::uint64_t samples, std::chrono::milliseconds patience) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [&] {
      return !seen_.batches.empty() && seen_.batches.back().through >= samples;
    });
  }
  seen_samples copy() const {
    const std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  seen_samples seen_;
};

class noting_worker : public actors::worker_handle::base {
 public:
  noting_worker(caf::actor_config& config,
                const headrace::clock& time,
                std::shared_ptr<note_book> notes)
      : actors::worker_handle::base(config), time_(time), notes_(std::move(notes)) {}

  behavior_type make_behavior() override {
    return {
        [this](actors::sealed_atom, const actors::sample_batch_ptr& batch) {
          notes_->batch_came(batch->offset_end, time_.steady_ns());
          send(caf::actor_cast<actors::ingest_handle>(current_sender()), actors::more_atom_v, 1U);
        },
        [](actors::answer_atom, const actors::answer_ptr&) {},
        [](actors::tick_atom) {},
        [this](actors::stop_atom) { quit(); },
    };
  }
  const char* name() const override { return "noting_worker"; }

 private:
  const headrace::clock& time_;
  std::shared_ptr<note_book> notes_;
};

/// Three ids; a label in the event, or an action by key.
worker::source_spec source_of_bench() {
  worker::source_spec source;
  for (const char* column : {"user", "item", "query"}) {
    worker::feature_spec feature;
    feature.name = feature.column = feature.salt = column;
    source.features.push_back(feature);
  }
  source.label = {"click", worker::label_spec::comparison::greater, 0.5};
  return source;
}

result<worker::event_schema> schema_of(const available_options& options) {
  const std::vector<std::string> none;
  return worker::event_schema::bind(
      source_of_bench(),
      options.job == available_job::joined ? std::vector<std::string>{"click"} : none);
}

result<std::unique_ptr<storage::ordered_log>> open_log(const available_options& options,
                                                       const char* folder) {
  storage::segment_log::options how;
  how.folder = options.dir / folder;
  how.mode = options.durable;
  auto log = storage::segment_log::open(std::move(how));
  if (!log) return log.error();
  return std::unique_ptr<storage::ordered_log>(std::move(*log));
}

}  // namespace

struct live_job::parts {
  system_clock time;
  std::shared_ptr<note_book> notes = std::make_shared<note_book>();
  std::shared_ptr<actors::progress_board> board = std::make_shared<actors::progress_board>();
  actors::system_config config;
  caf::actor_system system{config};
  actors::transport_context transport;
  std::shared_ptr<worker::event_intake> intake;
  std::unique_ptr<actors::event_front> front;
  std::shared_ptr<actors::router> router;
  actors::worker_handle worker;
  actors::ingest_handle ingest;

  result<void> begin(const available_options& options);
  result<std::unique_ptr<worker::sealed_stream>> open_stream(const available_options& options);
  result<void> serve();
};

result<void> live_job::parts::begin(const available_options& options) {
  auto log = open_log(options, "events");
  if (!log) return log.error();
  auto schema = schema_of(options);
  if (!schema) return schema.error();
  worker::event_intake::settings how;
  if (options.job == available_job::joined) how.idle_ms = join_window_ms + out_of_order_ms;
  auto opened = worker::event_intake::open(std::move(*log), std::move(*schema), how, {}, time);
  if (!opened) return opened.error();
  intake = std::move(*opened);
  auto stream = open_stream(options);
  if (!stream) return stream.error();
  worker = system.spawn<noting_worker, caf::detached>(time, notes);
  ingest = system.spawn<actors::ingest_actor, caf::detached>(
      std::move(*stream), worker, time, board, options.in_flight);
  return serve();
}

result<std::unique_ptr<worker::sealed_stream>> live_job::parts::open_stream(
    const available_options& options) {
  auto schema = schema_of(options);
  if (!schema) return schema.error();
  worker::live_source::settings how;
  if (options.job == available_job::joined)
    how.join = worker::join_spec{.window_ms = join_window_ms, .out_of_order_ms = out_of_order_ms};
  how.cut_file = options.dir / "events.cut";
  how.may_lose_ends = true;
  auto source = worker::live_source::open(intake, std::move(*schema), std::move(how), {});
  if (!source) return source.error();
  auto log = open_log(options, "samples");
  if (!log) return log.error();
  worker::batch_builder builder({.source = {"bench"},
                                 .samples_max = options.samples,
                                 .wait_ns = std::uint64_t{options.wait_ms} * 1'000'000});
  auto stream = std::make_unique<worker::sealed_stream>(
      worker::sealed_stream::parts{
          std::move(*source), std::move(*log), std::move(builder), std::nullopt, 0},
      time);
  if (auto ready = stream->open(batch_number{1}); !ready) return ready.error();
  return stream;
}

result<void> live_job::parts::serve() {
  front = std::make_unique<actors::event_front>(
      [this](worker::event_intake::request batch) {
        notes->push_came(time.steady_ns());
        intake->offer(std::move(batch));
      },
      [](std::string_view) { return result<void>(); });
  auto served = actors::router::open(transport, {"tcp://127.0.0.1:*"}, front->handler());
  if (!served) return served.error();
  router = std::move(*served);
  return {};
}

live_job::live_job() : parts_(std::make_unique<parts>()) {}

result<std::unique_ptr<live_job>> live_job::start(const available_options& options) {
  std::unique_ptr<live_job> made(new live_job);
  if (auto begun = made->parts_->begin(options); !begun) return begun.error();
  return made;
}

live_job::~live_job() {
  if (parts_->router) parts_->router->stop();
  if (parts_->ingest) caf::anon_send_exit(parts_->ingest, caf::exit_reason::user_shutdown);
  if (parts_->worker) caf::anon_send_exit(parts_->worker, caf::exit_reason::user_shutdown);
  parts_->ingest = actors::ingest_handle{};
  parts_->worker = actors::worker_handle{};
  parts_->system.await_all_actors_done();
  if (parts_->intake) static_cast<void>(parts_->intake->stop());
}

const std::string& live_job::endpoint() const { return parts_->router->endpoints().front(); }

void live_job::wait_for(std::uint64_t samples, std::chrono::milliseconds patience) {
  parts_->notes->wait_for(samples, patience);
}

seen_samples live_job::look() const {
  seen_samples seen = parts_->notes->copy();
  const auto progress = parts_->board->read();
  seen.status_ms_p50 = progress.available_ms_p50;
  seen.status_ms_p99 = progress.available_ms_p99;
  return seen;
}

}  // namespace headrace::bench
