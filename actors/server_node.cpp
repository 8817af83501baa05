#include "actors/server_node.hpp"

#include "schemas/control.hpp"

#include <caf/actor_system.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>

#include <utility>

namespace headrace::actors {

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
  const shard_handle owner = routes_.find(job.shard);
  if (!owner) return;  // restarting, or no such shard: the worker's deadline asks again
  caf::anon_send(owner, serve_atom_v, std::make_shared<const section_job>(std::move(job)));
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
