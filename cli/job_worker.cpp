#include "cli/job_worker.hpp"

#include "actors/fetched_stream.hpp"
#include "actors/ingest_actor.hpp"
#include "actors/transport/link.hpp"
#include "actors/worker_actor.hpp"
#include "base/log.hpp"
#include "base/parse_number.hpp"
#include "cli/job_server.hpp"
#include "cli/sample_log.hpp"
#include "cli/sample_source.hpp"
#include "cli/telemetry/learning_series.hpp"
#include "kernels/half_gemm/half_gemm.hpp"
#include "kernels/runtime/cuda_library.hpp"
#include "schemas/hash.hpp"
#include "storage/file_io.hpp"
#include "worker/step/trainer.hpp"

#include <caf/actor_system.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <utility>

namespace headrace::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto server_patience = 10s;
constexpr auto ingest_patience = 10s;
constexpr std::uint64_t look_interval_ns = 5'000'000'000;
constexpr std::uint32_t reply_bytes = 4U << 20;
constexpr std::uint32_t reply_wait_ms = 1'000;

std::filesystem::path book_file(const storage::job_folder& folder) {
  return folder.worker() / "scores.bin";
}
std::filesystem::path stream_file(const storage::job_folder& folder) {
  return folder.worker() / "samples.stream";
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

// Batches of earlier runs, for whom the twin has to know: `visit` is called with each before
// `before`, oldest first.
using batch_visitor = std::function<void(const schemas::sample_batch&)>;

result<void> visit_logged(worker::sealed_stream& stream,
                          batch_number before,
                          const batch_visitor& visit) {
  if (stream.sealed() == batch_number{}) return {};
  result<void> decoded;
  auto read = stream.read(stream.oldest(), [&](const storage::log_record& record) {
    if (record.lsn.value >= before.value) return false;
    auto batch = schemas::decode_sample_batch(record.payload);
    if (!batch) {
      decoded = batch.error();
      return false;
    }
    visit(*batch);
    return true;
  });
  if (!read) return read;
  return decoded;
}

result<void> visit_fetched(actors::fetched_stream& stream,
                           batch_number before,
                           const batch_visitor& visit) {
  for (std::uint64_t next = 1; next < before.value; ++next) {
    auto batch = stream.wait_for_next(ingest_patience);
    if (!batch) return batch.error();
    if (*batch == nullptr) break;
    visit(**batch);
  }
  return {};
}

// The sample log of an ingest process that this worker learns from; 0: none yet.
result<std::uint64_t> load_stream(const std::filesystem::path& file) {
  const auto text = storage::read_text(file);
  if (!text && text.error().code == errc::not_found) return std::uint64_t{0};
  if (!text) return text.error();
  const auto number = parse_hex<std::uint64_t>(std::string_view(*text).substr(0, 16));
  if (text->size() == 17 && number) return *number;
  return error{errc::corrupt, "'" + file.string() + "' is damaged; remove it to go on without it"};
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
  if (auto made = storage::make_folder(folder_->worker()); !made) return made.error();
  auto given = how.ingest.empty() ? open_here(time) : open_there(context, how, time);
  if (!given) return given.error();
  auto parts = load_parts(*given);
  if (!parts) return parts.error();
  before_ = figures_of(*parts->book);
  board_->update([this](actors::progress& p) { p = before_; });
  if (given->stream->finished()) {
    nothing_new_ = true;
    board_->end();
    return given->stream->close();
  }
  if (how.predictions) {
    std::vector<std::string> names;
    for (const auto& head : job_.model->heads()) names.push_back(head.name);
    auto predictions = worker::prediction_log::open(*how.predictions, resumed_, names);
    if (!predictions) return predictions.error();
    parts->predictions = std::move(*predictions);
  }
  parts->time = &time;
  parts->durations = batch_durations(how.metrics->series());
  how.metrics->add([board = board_, head = job_.model->heads()[0].name](metrics_page& page) {
    say_learning(board->read(), head, page);
  });
  parts->connect = connector(context, how.endpoint);
  held_ = std::make_unique<actors_held>();
  held_->system = &system;
  held_->worker = system.spawn<actors::worker_actor, caf::detached>(std::move(*parts));
  held_->ingest = system.spawn<actors::ingest_actor, caf::detached>(
      std::move(given->stream), held_->worker, time, board_, job_.train.in_flight);
  if (!live_) return {};
  return live_->serve(context, board_, how.metrics);
}

// Reads the job's source in this process.
result<job_worker::samples> job_worker::open_here(const clock& time) {
  auto ingest =
      storage::job_folder::open(folder_->root(), folder_->job(), storage::job_role::ingest);
  if (!ingest) return ingest.error();
  ingest_folder_ = std::move(*ingest);
  auto source = sample_source::open(job_, *folder_, time);
  if (!source) return source.error();
  live_ = source->take_live();
  records_ = source->records();
  const auto first = ask_where_to_begin();
  if (!first) return first.error();
  auto log = open_sample_log(job_, *folder_);
  if (!log) return log.error();
  resumed_ = (*log)->last().last.value > 0;
  auto stream = source->seal(std::move(*log), *first);
  if (!stream) return stream.error();
  samples made;
  made.visit_earlier = [at = stream->get(), before = *first](const auto& visit) {
    return visit_logged(*at, before, visit);
  };
  made.stream = std::move(*stream);
  return made;
}

// Another process has them.
result<job_worker::samples> job_worker::open_there(actors::transport_context& context,
                                                   const options& how,
                                                   const clock& time) {
  if (job_.replay.validate_every > 0) {
    return error{errc::bad_config,
                 "replay.validate_every: passes are validated by 'headrace run', not over "
                 "'headrace ingest'"};
  }
  const auto first = ask_where_to_begin();
  if (!first) return first.error();
  const auto known = load_stream(stream_file(*folder_));
  if (!known) return known.error();
  covered_ = std::make_shared<std::atomic<std::uint64_t>>(0);
  actors::fetched_stream::parts parts;
  parts.how.about.source = source_of(job_);
  parts.how.about.job_fingerprint = folder_->job().fingerprint;
  parts.how.about.made_by = made_by(job_);
  parts.how.about.stream = *known;
  parts.how.about.bytes_max = reply_bytes;
  parts.how.about.wait_ms = reply_wait_ms;
  parts.first = *first;
  parts.endpoint = how.ingest;
  parts.sender = job_.name;
  parts.connect = connector(context, how.ingest);
  parts.covered = covered_;
  auto stream = actors::fetched_stream::open(parts, time);
  if (!stream) return stream.error();
  if (auto greeted = (*stream)->greet(ingest_patience); !greeted) return greeted.error();
  const std::uint64_t id = (*stream)->stream();
  if (*known == 0) {
    char text[18];
    std::snprintf(text, sizeof text, "%016llx\n", static_cast<unsigned long long>(id));
    if (auto kept = storage::replace_file(stream_file(*folder_), text); !kept) return kept.error();
  }
  records_ = (*stream)->records();
  resumed_ = first->value > 1;
  samples made;
  made.visit_earlier = [parts, id, before = *first, &time](const auto& visit) -> result<void> {
    if (before.value == 1) return {};
    auto again = parts;
    again.how.about.stream = id;
    again.first = batch_number{1};
    auto earlier = actors::fetched_stream::open(std::move(again), time);
    if (!earlier) return earlier.error();
    return visit_fetched(**earlier, before, visit);
  };
  made.stream = std::move(*stream);
  return made;
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
result<actors::worker_parts> job_worker::load_parts(const samples& from) const {
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
    auto noted =
        from.visit_earlier([&](const schemas::sample_batch& b) { parts.trainer->note(b); });
    if (!noted) return noted.error();
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

result<std::vector<schemas::status_reply>> job_worker::ask_shards(
    std::chrono::milliseconds patience) {
  return control_->status(patience);
}

void job_worker::look_at_rows(const clock& time, std::chrono::milliseconds patience) {
  if (!covered_ || time.steady_ns() - looked_ns_ < look_interval_ns) return;
  looked_ns_ = time.steady_ns();
  const auto marks = control_->watermarks(source_of(job_), job_.schema.shards, patience);
  if (!marks) return;
  batch_number acknowledged{UINT64_MAX};
  for (const auto& reply : *marks) {
    acknowledged = std::min(acknowledged, reply.rows);
    if (job_.model->has_network()) acknowledged = std::min(acknowledged, reply.dense);
  }
  const auto shards = control_->status(patience);
  if (!shards || shards->size() != job_.schema.shards) return;
  std::vector<worker::durable_mark::position> positions;
  for (const auto& shard : *shards) positions.push_back({shard.lsn, shard.flushed});
  durable_.look(acknowledged, positions);
  covered_->store(durable_.covered().value, std::memory_order_relaxed);
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

std::string job_worker::not_ready() const {
  if (live_) return live_->not_ready();
  if (const auto failure = board_->failure()) return describe(*failure);
  return board_->ended() ? "the run has ended" : "";
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
