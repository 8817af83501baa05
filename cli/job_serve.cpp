#include "cli/job_serve.hpp"

#include "actors/http/plain_routes.hpp"
#include "actors/transport/link.hpp"
#include "base/json_line.hpp"
#include "base/process_secret.hpp"
#include "cli/job_server.hpp"
#include "cli/telemetry/process_series.hpp"
#include "schemas/delta.hpp"

#include <optional>
#include <utility>

namespace headrace::cli {
namespace {

constexpr std::size_t status_bytes_max = 2'048;

actors::replica_follower::connector connector(actors::transport_context& context,
                                              const std::string& endpoint) {
  return
      [&context, endpoint](
          actors::request_path::receiver receive) -> result<std::unique_ptr<actors::request_path>> {
        auto opened = actors::link::open(context, endpoint, std::move(receive));
        if (!opened) return opened.error();
        return std::unique_ptr<actors::request_path>(std::move(*opened));
      };
}

actors::serve_routes::settings settings_of(const serve_spec& spec) {
  actors::serve_routes::settings how;
  how.threads = spec.threads;
  how.waiting_max = spec.queue;
  how.batch_delay_us = spec.wait_us;
  how.batch_samples = spec.batch;
  return how;
}

std::optional<std::uint64_t> age_of(std::uint64_t then_ms, std::uint64_t now_ms) {
  if (then_ms == 0) return std::nullopt;
  return now_ms < then_ms ? 0 : now_ms - then_ms;
}

}  // namespace

result<std::unique_ptr<job_serve>> job_serve::start(actors::transport_context& context,
                                                    const job& job,
                                                    const options& how,
                                                    const clock& time) {
  std::unique_ptr<job_serve> made(new job_serve(job, time));
  auto model = serve::served_model::make({job.name, job.model, job.source, job.schema});
  if (!model) return model.error();
  made->replica_ = std::make_shared<serve::replica>(
      job.schema, schemas::delta_codecs(job.schema), process_secret());
  made->answers_ = std::make_unique<actors::serve_routes>(
      actors::serve_routes::parts{
          std::move(*model), made->replica_, [at = made.get()] { return at->not_ready(); }},
      time,
      settings_of(job.serve));
  auto follower = actors::replica_follower::start({.into = made->replica_,
                                                   .job_fingerprint = identity(job).fingerprint,
                                                   .endpoint = how.endpoint,
                                                   .sender = job.name,
                                                   .connect = connector(context, how.endpoint),
                                                   .interval_ms = job.serve.interval_ms},
                                                  time);
  if (!follower) return follower.error();
  made->follower_ = std::move(*follower);
  const process_facts what{
      "serve", job.name, {}, time.now_ms(), [at = made.get()] { return at->not_ready(); }};
  made->metrics_.add([at = made.get(), what](metrics_page& page) {
    say_process(what, page);
    say_serving(at->figures(), page);
  });
  auto http = actors::http_server::open({how.http}, made->routes());
  if (!http && http.error().code == errc::in_use) {
    return error{errc::in_use,
                 "'http://" + how.http + "' is taken; choose another address for predictions"};
  }
  if (!http) return http.error();
  made->http_ = std::move(*http);
  made->asked_.store(made->http_.get(), std::memory_order_release);
  return made;
}

job_serve::~job_serve() { stop(); }

std::vector<actors::http_route> job_serve::routes() {
  auto routes =
      actors::plain_routes({[this] { return not_ready(); }, [this] { return metrics_.text(); }});
  const auto tell = [this](const actors::http_request&, const actors::http_reply& reply) {
    reply({200, status() + "\n"});
  };
  routes.push_back({"GET", "/v1/status", tell, 0, nullptr, status_bytes_max});
  for (auto& each : answers_->routes()) routes.push_back(std::move(each));
  return routes;
}

std::string job_serve::not_ready() const {
  const auto heard = follower_->count();
  const std::string because = heard.trouble.empty() ? "" : ": " + heard.trouble;
  if (!replica_->stamp().whole) return "not every row has come yet" + because;
  const auto silent = age_of(heard.heard_ms, time_.now_ms());
  if (spec_.stale_ms_max == 0 || silent.value_or(0) <= spec_.stale_ms_max) return {};
  return "a shard was not heard of for " + std::to_string(*silent) + " ms" + because;
}

serve_figures job_serve::figures() const {
  serve_figures now;
  now.heard = follower_->count();
  now.stamp = replica_->stamp();
  now.rows = replica_->rows();
  now.bytes = replica_->bytes();
  now.asked = answers_->count();
  if (const auto* http = asked_.load(std::memory_order_acquire)) now.http = http->count();
  now.now_ms = time_.now_ms();
  return now;
}

std::string job_serve::status() const {
  const serve_figures now = figures();
  const std::string why = not_ready();
  json_line line;
  line.add("job", name_)
      .add("ready", why.empty())
      .add("model_version", now.stamp.version)
      .add("applied_through_ms", now.stamp.accepted_ms)
      .add("age_ms", age_of(now.stamp.accepted_ms, now.now_ms))
      .add("heard_ms_ago", age_of(now.heard.heard_ms, now.now_ms))
      .add("lag_versions", now.heard.lag_versions)
      .add("rows", now.rows)
      .add("bytes", now.bytes)
      .add("deltas", now.heard.deltas)
      .add("delta_rows", now.heard.rows)
      .add("delta_bytes", now.heard.bytes)
      .add("sessions", now.heard.sessions)
      .add("requests", now.asked.requests)
      .add("answered", now.asked.answered)
      .add("refused", now.asked.refused)
      .add("turned_away", now.asked.turned_away)
      .add("samples", now.asked.samples)
      .add("unknown_ids", now.asked.unknown_ids)
      .add("predict_us_p50", now.asked.p50_us)
      .add("predict_us_p99", now.asked.p99_us)
      .add("trouble", why);
  return line.text();
}

void job_serve::stop() {
  if (http_) http_->stop();
}

}  // namespace headrace::cli
