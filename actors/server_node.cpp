#include "actors/server_node.hpp"

#include "schemas/control.hpp"
#include "schemas/follow.hpp"

#include <caf/actor_system.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>

#include <utility>

namespace headrace::actors {
namespace {

schemas::status_reply status_of(ps::durable_shard& at, schemas::status_reply reply) {
  const ps::shard& state = at.state();
  const auto counts = state.counts();
  reply.rows = counts.rows;
  reply.bytes = counts.bytes;
  reply.lsn = state.applied();
  reply.flushed = state.flushed();
  reply.version = state.version();
  reply.tail_rows = state.tail_rows();
  reply.tail_bytes = state.tail_bytes();
  reply.log_first = at.log().last().first;
  reply.hits = state.seen().hits;
  reply.fetched = state.seen().fetched;
  reply.absent = state.seen().absent;
  reply.evicted = state.seen().evicted;
  reply.trouble = at.refusing();
  if (const auto& why = at.write_back_failure(); reply.trouble.empty() && why)
    reply.trouble = "rows are not written back: " + why->detail;
  if (const auto& why = at.truncation_failure(); reply.trouble.empty() && why)
    reply.trouble = "the log is not cut: " + why->detail;
  return reply;
}

}  // namespace

server_node::server_node(caf::actor_system& system, options how)
    : system_(system), options_(std::move(how)), routes_(options_.schema.shards) {}

result<std::unique_ptr<server_node>> server_node::start(caf::actor_system& system,
                                                        transport_context& context,
                                                        options how) {
  std::unique_ptr<server_node> made(new server_node(system, std::move(how)));
  supervisor_options watch;
  watch.shards = made->options_.schema.shards;
  watch.flush_interval_ms = made->options_.flush_interval_ms;
  watch.opener = made->options_.opener;
  watch.pool = made->options_.pool;
  watch.on_failure = made->options_.on_failure;
  made->supervisor_ = spawn_supervisor(system, std::move(watch), made->routes_);
  auto opened = router::open(
      context,
      made->options_.endpoints,
      [node = made.get()](section_job job) { node->dispatch(std::move(job)); },
      made->options_.transport);
  if (!opened) return opened.error();
  made->router_ = std::move(*opened);
  return made;
}

server_node::~server_node() { stop(); }

void server_node::stop() {
  if (std::exchange(stopped_, true)) return;
  caf::scoped_actor self{system_};
  self->send_exit(supervisor_, caf::exit_reason::user_shutdown);
  self->wait_for(supervisor_);
  supervisor_ = nullptr;
  routes_.clear();
  if (router_) router_->stop();
}

void server_node::dispatch(section_job job) {
  if (job.kind == schemas::message_kind::hello) return greet(job);
  if (job.kind == schemas::message_kind::status) return tell_status(std::move(job));
  if (job.kind == schemas::message_kind::checkpoint) return take_checkpoint(job);
  if (job.kind == schemas::message_kind::follow && refuse_stranger(job)) return;
  const shard_handle owner = routes_.find(job.shard);
  if (!owner) return;  // restarting, or no such shard: the worker's deadline asks again
  caf::anon_send(owner, serve_atom_v, std::make_shared<const section_job>(std::move(job)));
}

// Who follows with another job's file would take its rows for those of its own.
bool server_node::refuse_stranger(const section_job& job) const {
  const auto asks = schemas::decode_follow_request(job.section);
  if (!asks || asks->job_fingerprint == options_.job_fingerprint) return false;
  job.answer(schemas::encode(schemas::follow_reply{
      errc::wrong_job,
      "server and replica were given different job files (name, tables or shards differ)",
      0,
      {}}));
  return true;
}

bool server_node::visit(shard_id shard, std::function<void(ps::durable_shard&)> what) {
  const shard_handle owner = routes_.find(shard);
  if (!owner) return false;
  caf::anon_send(owner,
                 visit_atom_v,
                 std::make_shared<const std::function<void(ps::durable_shard&)>>(std::move(what)));
  return true;
}

void server_node::tell_status(section_job job) {
  if (!schemas::decode_status_request(job.section)) return;
  schemas::status_reply about;
  about.shard = job.shard;
  about.shards = options_.schema.shards;
  about.mode = options_.mode;
  if (options_.checkpoint_ms) about.checkpoint_ms = options_.checkpoint_ms();
  const shard_id shard = job.shard;
  visit(shard, [job = std::move(job), about = std::move(about)](ps::durable_shard& at) {
    job.answer(schemas::encode(status_of(at, about)));
  });
}

void server_node::take_checkpoint(const section_job& job) {
  const auto request = schemas::decode_checkpoint_request(job.section);
  if (!request) return;
  schemas::checkpoint_reply reply;
  if (options_.checkpoint) {
    reply = options_.checkpoint(*request);
  } else {
    reply.status = errc::bad_config;
    reply.detail = "the job has no [checkpoint] section: say where to with checkpoint.to";
    reply.done = true;
  }
  job.answer(schemas::encode(reply));
}

void server_node::greet(const section_job& job) {
  schemas::welcome reply;
  reply.shards = options_.schema.shards;
  reply.schema_version = options_.schema.version;
  reply.protocol = schemas::protocol_version;
  const auto hello = schemas::decode_hello(job.section);
  if (!hello) {
    reply.status = hello.error().code;
    reply.detail = hello.error().detail;
  } else if (hello->protocol < schemas::protocol_version_min ||
             hello->protocol_min > schemas::protocol_version) {
    reply.status = errc::bad_protocol;
    reply.detail = "server speaks protocol " + std::to_string(schemas::protocol_version) +
                   ", worker " + std::to_string(hello->protocol) + "; upgrade the older of the two";
  } else if (hello->job_fingerprint != options_.job_fingerprint) {
    reply.status = errc::wrong_job;
    reply.detail =
        "server and worker were given different job files (name, tables or shards differ)";
  }
  job.answer(schemas::encode(reply));
}

}  // namespace headrace::actors
