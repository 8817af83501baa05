#include "cli/job_server.hpp"

#include "base/log.hpp"
#include "cli/state_manifest.hpp"
#include "cli/telemetry/shard_series.hpp"
#include "ps/shard/durable_shard.hpp"
#include "storage/checkpoint_manifest.hpp"
#include "storage/file_io.hpp"
#include "storage/rocks_row_store.hpp"
#include "storage/segment_log.hpp"

#include <caf/actor_system.hpp>

#include <algorithm>
#include <mutex>
#include <utility>

namespace headrace::cli {

// Written by the supervisor's thread, read by the command line: the mutex guards `what`.
struct job_server::failure_slot {
  mutable std::mutex mutex;
  std::optional<error> what;
};

storage::job_identity identity(const job& job) {
  return {job.name, schemas::fingerprint(job.name, job.schema)};
}

namespace {

constexpr std::uint64_t look_interval_ns = 1'000'000'000;
constexpr std::uint64_t silent_ns_max =
    10'000'000'000;                 // a shard that has work to do says something sooner
constexpr unsigned io_threads = 4;  // that wait for disks, all shards together

// Opens one shard over its row store and log; runs on the shard actor's thread, once for each
// incarnation. `parts` has everything but state and log.
result<std::unique_ptr<ps::durable_shard>> open_shard(const job& job,
                                                      const storage::job_folder& folder,
                                                      shard_id id,
                                                      ps::durable_shard::parts parts) {
  const auto position = parts.rows->position(id);
  if (!position) return position.error();
  storage::segment_log::options how;
  how.folder = folder.shard_log(id);
  how.mode = job.durability.log;
  how.continue_after = position->flushed;
  auto log = storage::segment_log::open(std::move(how));
  if (!log) return log.error();
  parts.state = std::make_unique<ps::shard>(id, job.schema, job.limits, position->epoch);
  parts.log = std::move(*log);
  parts.how.mode = job.durability.log;
  parts.how.truncate = job.durability.keep_log == log_retention::needed;
  parts.how.tail_rows_max = job.durability.tail_rows_max;
  parts.how.tail_bytes_max = job.durability.tail_bytes_max;
  return ps::durable_shard::open(std::move(parts));
}

}  // namespace

result<std::unique_ptr<job_server>> job_server::start(caf::actor_system& system,
                                                      actors::transport_context& context,
                                                      const job& job,
                                                      const std::filesystem::path& state,
                                                      std::vector<std::string> endpoints,
                                                      const clock& time) {
  std::unique_ptr<job_server> made(new job_server);
  made->job_ = job;
  made->time_ = &time;
  made->checkpoint_ns_ = time.steady_ns();
  auto folder = storage::job_folder::open(state, identity(job), storage::job_role::server);
  if (!folder) return folder.error();
  made->folder_ = std::move(*folder);
  // The job as it runs now, for `inspect`; what must not change between runs is in the fingerprint.
  if (auto kept = storage::replace_file(made->folder_->root() / "job.toml", job.text); !kept)
    return kept.error();
  made->pool_ = std::make_unique<storage::io_pool>(io_threads);
  storage::rocks_row_store::options store;
  store.path = made->folder_->rows();
  store.pool = made->pool_.get();
  store.compress_oldest = std::ranges::any_of(
      job.schema.tables, [](const auto& table) { return table.memory_bytes > 0; });
  auto rows = storage::rocks_row_store::open(std::move(store));
  if (!rows) return rows.error();
  made->rows_ = std::move(*rows);
  made->failure_ = std::make_shared<failure_slot>();
  made->holds_ = std::make_unique<log_holds>(job.schema.shards);
  if (!job.checkpoint.to.empty()) {
    cut_parts of;
    of.rows = made->rows_.get();
    of.folder = made->folder_.get();
    of.described = &made->job_;
    of.holds = made->holds_.get();
    of.time = made->time_;
    auto opened = checkpointer::open(std::move(of), job.checkpoint);
    if (!opened) return opened.error();
    made->checkpoints_ = std::move(*opened);
  }

  actors::server_node::options how;
  how.endpoints = std::move(endpoints);
  how.job_fingerprint = made->folder_->job().fingerprint;
  how.schema = job.schema;
  how.flush_interval_ms = job.durability.flush_interval_ms;
  how.opener = [server = made.get()](shard_id id) -> actors::open_shard {
    return [server, id](ps::durable_shard::delivery deliver, std::unique_ptr<ps::background> io) {
      ps::durable_shard::parts parts;
      parts.rows = server->rows_.get();
      parts.time = server->time_;
      parts.io = std::move(io);
      parts.deliver = std::move(deliver);
      auto opened = open_shard(server->job_, *server->folder_, id, std::move(parts));
      if (opened) (*opened)->keep_log_from(server->holds_->keep_from(id));
      return opened;
    };
  };
  how.pool = made->pool_.get();
  how.mode = job.durability.log;
  if (checkpointer* taker = made->checkpoints_.get()) {
    how.checkpoint = [taker](const auto& request) { return taker->ask(request); };
    how.checkpoint_ms = [taker] { return taker->newest_ms(); };
  }
  made->board_ = std::make_shared<actors::shard_board>(job.schema.shards);
  how.board = made->board_;
  how.on_failure = [slot = made->failure_](const error& why) {
    const std::lock_guard lock(slot->mutex);
    if (!slot->what) slot->what = why;
  };
  auto node = actors::server_node::start(system, context, std::move(how));
  if (!node) return node.error();
  made->node_ = std::move(*node);
  if (made->checkpoints_) made->checkpoints_->begin(*made->node_);
  made->node_->look(made->checkpoint_ns_);
  return made;
}

job_server::~job_server() {
  if (auto stopped = stop(); !stopped)
    log_error("server.stop", {{"error", describe(stopped.error())}});
}

std::optional<error> job_server::failure() const {
  const std::lock_guard lock(failure_->mutex);
  return failure_->what;
}

std::string job_server::not_ready() const {
  if (const auto failed = failure()) return describe(*failed);
  const std::uint64_t now = time_->steady_ns();
  for (const auto& shard : board_->read()) {
    const std::string which = "shard " + std::to_string(shard.status.shard.value);
    if (!shard.is_up) return which + " is being started again";
    if (shard.heard_ns == 0 || now - std::min(now, shard.heard_ns) > silent_ns_max)
      return which + " has not said how it is";
    if (shard.log_refuses) return which + ": " + shard.status.trouble;
  }
  return "";
}

void job_server::add_series(job_metrics& metrics) {
  metrics.add([this](metrics_page& page) {
    server_figures now;
    now.shards = board_->read();
    now.transport = node_->count();
    now.now_ns = time_->steady_ns();
    if (checkpoints_) {
      archive_figures& archive = now.archive.emplace();
      archive.taken = checkpoints_->taken();
      archive.failed = checkpoints_->failed();
      archive.took_ms = checkpoints_->took_ms();
      const std::uint64_t newest_ms = checkpoints_->newest_ms();
      const std::uint64_t now_ms = time_->now_ms();
      if (newest_ms > 0) archive.age_ms = now_ms - std::min(now_ms, newest_ms);
    }
    say_shards(now, page);
  });
}

void job_server::tick() {
  const std::uint64_t now = time_->steady_ns();
  if (now - looked_ns_ >= look_interval_ns) {
    looked_ns_ = now;
    node_->look(now);
  }
  if (now - checkpoint_ns_ < job_.durability.flush_interval_ms * 1'000'000) return;
  checkpoint_ns_ = now;
  if (auto written = write_checkpoint(); !written) {
    log_warn("server.checkpoint", {{"error", describe(written.error())}});
  }
}

result<void> job_server::stop() {
  if (std::exchange(stopped_, true) || !node_) return {};
  if (checkpoints_) checkpoints_->stop();
  node_->stop();
  if (const auto failed = failure())
    return *failed;  // a shard could not write its rows; its log has them
  return write_checkpoint();
}

result<void> job_server::write_checkpoint() {
  const auto manifest = describe_rows(folder_->job(), job_.schema, *rows_, time_->now_ms());
  if (!manifest) return manifest.error();
  return storage::write_manifest(folder_->checkpoint(), *manifest);
}

}  // namespace headrace::cli
