#include "cli/job_worker.hpp"

#include "actors/ingest_actor.hpp"
#include "actors/transport/link.hpp"
#include "actors/worker_actor.hpp"
#include "base/log.hpp"
#include "cli/job_server.hpp"
#include "cli/sample_log.hpp"
#include "kernels/half_gemm/half_gemm.hpp"
#include "kernels/runtime/cuda_library.hpp"
#include "schemas/hash.hpp"
#include "storage/file_io.hpp"
#include "worker/ingest/replayed_source.hpp"
#include "worker/step/trainer.hpp"

#include <caf/actor_system.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

namespace headrace::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto server_patience = 10s;

std::filesystem::path book_file(const storage::job_folder& folder) {
  return folder.worker() / "scores.bin";
}
std::filesystem::path twin_file(const storage::job_folder& folder) {
  return folder.worker() / "twin.bin";
}

// What a worker keeps is its hash (xxh3-64, little-endian) and the bytes behind it.
result<void> keep(const std::filesystem::path& file, std::vector<std::byte> bytes) {
  const std::uint64_t hash = schemas::hash64(bytes);
  const auto front = std::as_bytes(std::span(&hash, 1));
  bytes.insert(bytes.begin(), front.begin(), front.end());
  return storage::replace_file(file, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

// Calls `load` with the file's bytes when there is one.
template <class Load>
result<void> load_if_there(const std::filesystem::path& file, const Load& load) {
  const auto bytes = storage::read_bytes(file);
  if (!bytes && bytes.error().code == errc::not_found) return {};
  if (!bytes) return bytes.error();
  result<void> loaded = error{errc::corrupt, "its checksum does not fit"};
  std::uint64_t hash = 0;
  if (bytes->size() >= sizeof hash) {
    const auto content = std::span(*bytes).subspan(sizeof hash);
    std::memcpy(&hash, bytes->data(), sizeof hash);
    if (schemas::hash64(content) == hash) loaded = load(content);
  }
  if (loaded) return {};
  return error{loaded.error().code,
               "'" + file.string() + "': " + loaded.error().detail +
                   "; remove the file to go on without it"};
}

// Until the twin is frozen it has to know every row the stream has met, earlier runs included.
result<void> note_logged_batches(storage::ordered_log& log,
                                 batch_number before,
                                 worker::trainer& trainer) {
  if (log.last().last.value == 0) return {};
  result<void> decoded;
  auto read = log.read_from(log.last().first, [&](const storage::log_record& record) {
    if (record.lsn.value >= before.value) return false;
    auto batch = schemas::decode_sample_batch(record.payload);
    if (!batch) {
      decoded = batch.error();
      return false;
    }
    trainer.note(*batch);
    return true;
  });
  if (!read) return read;
  return decoded;
}

std::function<result<std::unique_ptr<actors::request_path>>(actors::request_path::receiver)>
connector(actors::transport_context& context, const std::string& endpoint) {
  return
      [&context, endpoint](
          actors::request_path::receiver receive) -> result<std::unique_ptr<actors::request_path>> {
        auto opened = actors::link::open(context, endpoint, std::move(receive));
        if (!opened) return opened.error();
        return std::unique_ptr<actors::request_path>(std::move(*opened));
      };
}

std::vector<worker::scored_head> scored_heads(const worker::model_graph& model) {
  std::vector<worker::scored_head> heads;
  for (const auto& head : model.heads()) heads.push_back({head.name, head.label});
  return heads;
}

// What is drawn follows from the job's name, so that a run that was killed draws it again.
std::optional<worker::history_mix> history_of(const job& job) {
  if (job.train.mix_history == 0.0) return std::nullopt;
  return worker::history_mix({.share = job.train.mix_history,
                              .batches = job.train.history_batches,
                              .seed = schemas::hash64(std::as_bytes(std::span(job.name)))});
}

float negative_share_of(const job& job) { return job.join ? job.join->how.negative_share : 1.0F; }

// What the worker multiplies in; one line where this machine has no instructions for it.
worker::precision precision_of(const train_spec& train) {
  const auto machine = kernels::fastest_half_machine();
  const auto as = worker::chosen_precision(train.precision, machine);
  if (worker::is_emulated(as, machine))
    log_warn("worker.precision",
             {{"precision", std::string(worker::name(as))},
              {"note", "emulated, so slower here than f32: set train.precision = \"auto\""}});
  return as;
}

// Where the model's steps run; one line where a GPU was to be taken if it can, and cannot.
result<worker::placement> place_of(const job& job, worker::precision as) {
  auto placed = worker::place(job.train.device,
                              {*job.model, as, job.train.activations, negative_share_of(job)},
                              kernels::cuda_library_path());
  if (!placed) return placed;
  if (placed->device) log_info("worker.device", {{"device", placed->device_name}});
  if (!placed->why_not.empty())
    log_info("worker.device", {{"device", "cpu"}, {"reason", placed->why_not}});
  return placed;
}

actors::progress figures_of(const worker::score_book& book) {
  actors::progress figures;
  actors::copy_figures(book, figures);
  return figures;
}

}  // namespace

struct job_worker::actors_held {
  caf::actor_system* system = nullptr;
  actors::worker_handle worker;
  actors::ingest_handle ingest;
};

job_worker::~job_worker() { stop(); }

result<std::unique_ptr<job_worker>> job_worker::start(caf::actor_system& system,
                                                      actors::transport_context& context,
                                                      const job& job,
                                                      options how,
                                                      const clock& time) {
  std::unique_ptr<job_worker> made(new job_worker);
  made->job_ = job;
  made->board_ = std::make_shared<actors::progress_board>();
  auto folder = storage::job_folder::open(how.state, identity(job), storage::job_role::worker);
  if (!folder) return folder.error();
  made->folder_ = std::move(*folder);
  auto control = actors::control_client::open(context, how.endpoint, "control");
  if (!control) return control.error();
  made->control_ = std::move(*control);
  if (auto begun = made->begin(system, context, how, time); !begun) return begun.error();
  return made;
}

result<void> job_worker::begin(caf::actor_system& system,
                               actors::transport_context& context,
                               const options& how,
                               const clock& time) {
  auto source = open_source(time);
  if (!source) return source.error();
  auto records = (*source)->count_records();
  if (!records) return records.error();
  records_ = *records;
  const auto first = ask_where_to_begin();
  if (!first) return first.error();
  auto log = open_sample_log(job_, *folder_);
  if (!log) return log.error();
  resumed_ = (*log)->last().last.value > 0;

  auto parts = load_parts(**log, *first);
  if (!parts) return parts.error();
  before_ = figures_of(*parts->book);
  board_->update([this](actors::progress& p) { p = before_; });
  auto stream = open_stream(std::move(*source), std::move(*log), *first, time);
  if (!stream) return stream.error();
  if ((*stream)->finished()) {
    nothing_new_ = true;
    board_->end();
    return (*stream)->close();
  }
  if (how.predictions) {
    std::vector<std::string> names;
    for (const auto& head : job_.model->heads()) names.push_back(head.name);
    auto predictions = worker::prediction_log::open(*how.predictions, resumed_, names);
    if (!predictions) return predictions.error();
    parts->predictions = std::move(*predictions);
  }
  parts->time = &time;
  parts->connect = connector(context, how.endpoint);
  held_ = std::make_unique<actors_held>();
  held_->system = &system;
  held_->worker = system.spawn<actors::worker_actor, caf::detached>(std::move(*parts));
  held_->ingest = system.spawn<actors::ingest_actor, caf::detached>(
      std::move(*stream), held_->worker, time, board_, job_.train.in_flight);
  if (!live_) return {};
  return live_->serve(context, board_);
}

// The job's source, as often as it is to be learned.
result<std::unique_ptr<worker::event_source>> job_worker::open_source(const clock& time) {
  if (worker::is_live(job_.source.arrives)) {
    auto live = live_stream::open(job_, *folder_, time);
    if (!live) return live.error();
    live_ = std::move(*live);
    return live_->source();
  }
  auto once = worker::make_source(job_.source);
  if (!once || !job_.replay.needed()) return once;
  auto replayed = worker::replayed_source::read(
      std::move(*once),
      {.passes = job_.replay.passes, .shuffle = job_.replay.shuffle, .seed = job_.replay.seed});
  if (!replayed) return replayed.error();
  if (job_.replay.validate_every > 0) pass_records_ = (*replayed)->pass_records();
  return std::unique_ptr<worker::event_source>(std::move(*replayed));
}

// The batch after the smallest watermark over the shards and lanes.
result<batch_number> job_worker::ask_where_to_begin() {
  const auto welcome = control_->hello(folder_->job().fingerprint, server_patience);
  if (!welcome) return welcome.error();
  const auto replies = control_->watermarks(source_of(job_), job_.schema.shards, server_patience);
  if (!replies) return replies.error();
  for (const auto& reply : *replies) {
    watermarks_.push_back(reply.rows);
    if (job_.model->has_network()) dense_watermarks_.push_back(reply.dense);
  }
  batch_number least = *std::min_element(watermarks_.begin(), watermarks_.end());
  for (const batch_number dense : dense_watermarks_) least = std::min(least, dense);
  return batch_number{least.value + 1};
}

// Everything the worker is made of but its time and its way to the server, with what earlier runs
// kept.
result<actors::worker_parts> job_worker::load_parts(storage::ordered_log& samples,
                                                    batch_number first) const {
  if (auto made = storage::make_folder(folder_->worker()); !made) return made.error();
  const auto as = precision_of(job_.train);
  auto placed = place_of(job_, as);
  if (!placed) return placed.error();
  actors::worker_parts parts;
  parts.name = job_.name;
  parts.trainer = std::make_unique<worker::trainer>(job_.model,
                                                    job_.schema,
                                                    job_.train.push,
                                                    job_.train.dense_every,
                                                    as,
                                                    job_.train.activations,
                                                    std::move(placed->device));
  parts.trainer->correct_negatives(negative_share_of(job_));
  parts.book = std::make_unique<worker::score_book>(
      records_ / 2, scored_heads(*job_.model), negative_share_of(job_));
  auto loaded =
      load_if_there(book_file(*folder_), [&](auto bytes) { return parts.book->load(bytes); });
  if (!loaded) return loaded.error();
  loaded = load_if_there(twin_file(*folder_),
                         [&](auto bytes) { return parts.trainer->twin().load(bytes); });
  if (!loaded) return loaded.error();
  const bool endless = records_ == worker::endless_records;
  if (endless) parts.trainer->without_twin();
  if (!endless && !parts.trainer->twin().frozen()) {
    if (auto noted = note_logged_batches(samples, first, *parts.trainer); !noted)
      return noted.error();
  }
  worker::window_spec window;
  window.source = source_of(job_);
  window.in_flight_max = job_.train.in_flight;
  window.staleness_bound = job_.train.staleness_max;
  window.schema_version = job_.schema.version;
  parts.lanes = std::make_unique<worker::push_lanes>(
      window, watermarks_, dense_watermarks_, job_.train.dense_every);
  parts.board = board_;
  parts.shards = job_.schema.shards;
  parts.in_flight_max = job_.train.in_flight;
  parts.freeze_row =
      static_cast<std::uint64_t>(job_.train.freeze_at * static_cast<double>(records_));
  parts.keep_book = [file = book_file(*folder_)](const worker::score_book& book) {
    return keep(file, book.save());
  };
  parts.keep_twin = [file = twin_file(*folder_)](const worker::frozen_twin& twin) {
    return keep(file, twin.save());
  };
  return parts;
}

result<std::unique_ptr<worker::sealed_stream>> job_worker::open_stream(
    std::unique_ptr<worker::event_source> source,
    std::unique_ptr<storage::ordered_log> log,
    batch_number first,
    const clock& time) const {
  std::optional<worker::pacer> pace;
  if (job_.pace_duration_ns > 0) pace.emplace(job_.pace_duration_ns, records_);
  worker::batch_builder builder({.source = source_of(job_),
                                 .schema_version = job_.schema.version,
                                 .samples_max = job_.train.batch_max,
                                 .wait_ns = job_.train.batch_wait_ns});
  auto retained = sample_retention_of(job_, *folder_, time);
  if (!retained) return retained.error();
  auto stream =
      std::make_unique<worker::sealed_stream>(worker::sealed_stream::parts{std::move(source),
                                                                           std::move(log),
                                                                           std::move(builder),
                                                                           pace,
                                                                           pass_records_,
                                                                           std::move(*retained),
                                                                           history_of(job_)},
                                              time);
  if (auto opened = stream->open(first); !opened) return opened.error();
  return stream;
}

result<job_worker::table_counts> job_worker::count_tables(std::chrono::milliseconds patience) {
  const auto replies = control_->counts(job_.schema.shards, patience);
  if (!replies) return replies.error();
  table_counts counts;
  for (const auto& reply : *replies) {
    counts.rows += reply.rows;
    counts.bytes += reply.bytes;
  }
  return counts;
}

frame job_worker::pull(shard_id shard, const frame& section, std::chrono::milliseconds patience) {
  auto answer = control_->ask(schemas::message_kind::pull, shard, section, patience);
  if (answer) return std::move(*answer);
  schemas::pull_reply failed;
  failed.shard = shard;
  failed.status = answer.error().code;
  failed.detail = answer.error().detail;
  return schemas::encode(failed);
}

void job_worker::go_on() {
  if (held_) caf::anon_send(held_->ingest, actors::go_on_atom_v);
}

void job_worker::finish_early() {
  if (live_) live_->close();
  if (held_) caf::anon_send(held_->ingest, actors::stop_atom_v);
}

void job_worker::stop() {
  if (live_) live_->close();
  if (!held_) return;
  caf::scoped_actor self{*held_->system};
  self->send_exit(held_->ingest, caf::exit_reason::user_shutdown);
  self->wait_for(held_->ingest);
  self->send_exit(held_->worker, caf::exit_reason::user_shutdown);
  self->wait_for(held_->worker);
  held_.reset();
  if (!live_) return;
  if (auto stopped = live_->stop(); !stopped)
    log_warn("events.not_closed", {{"error", describe(stopped.error())}});
}

}  // namespace headrace::cli
