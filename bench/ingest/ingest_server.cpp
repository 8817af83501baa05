#include "actors/event_front.hpp"
#include "actors/http/event_routes.hpp"
#include "actors/http/http_server.hpp"
#include "actors/transport/context.hpp"
#include "actors/transport/router.hpp"
#include "base/clock.hpp"
#include "bench/ingest/ingest.hpp"
#include "bench/rows64/own_session.hpp"
#include "bench/rows64/process.hpp"
#include "storage/segment_log.hpp"
#include "worker/events/event_intake.hpp"
#include "worker/events/event_schema.hpp"
#include "worker/ingest/source_spec.hpp"

#include <cstdio>
#include <memory>
#include <unistd.h>
#include <utility>

namespace headrace::bench {
namespace {

using worker::event_intake;

/// A job that joins impressions of three ids with clicks: what the gate checks events against.
result<worker::event_schema> schema_of_bench() {
  worker::source_spec source;
  for (const char* column : {"user", "item", "query"}) {
    worker::feature_spec feature;
    feature.name = feature.column = feature.salt = column;
    source.features.push_back(feature);
  }
  return worker::event_schema::bind(source, {"click"});
}

result<std::unique_ptr<event_intake>> open_intake(const ingest_options& options,
                                                  const clock& time) {
  storage::segment_log::options files;
  files.folder = options.dir;
  files.mode = options.durable;
  auto log = storage::segment_log::open(std::move(files));
  if (!log) return log.error();
  auto schema = schema_of_bench();
  if (!schema) return schema.error();
  event_intake::settings how;
  how.bytes_unread_max = UINT64_MAX;  // nobody reads: a worker's pace is not what is measured
  return event_intake::open(std::move(*log), std::move(*schema), how, {}, time);
}

result<void> serve(const ingest_options& options) {
  const system_clock time;
  auto intake = open_intake(options, time);
  if (!intake) return intake.error();
  const auto offer = [&](event_intake::request batch) { (*intake)->offer(std::move(batch)); };
  actors::event_front front(offer, [](std::string_view) { return result<void>(); });
  actors::event_routes routes(
      {[&](event_intake::request batch) { (*intake)->put(std::move(batch)); },
       [&] { (*intake)->wake(); }},
      [](const actors::event_routes::claim&) { return result<void>(); },
      time,
      {});
  actors::transport_context transport;
  auto router = actors::router::open(transport, {"tcp://127.0.0.1:*"}, front.handler());
  if (!router) return router.error();
  auto http = actors::http_server::open({"127.0.0.1:0"}, routes.routes());
  if (!http) return http.error();
  const bool over_http = options.peer != ingest_peer::headrace;
  std::printf("%s\n", (over_http ? (*http)->endpoints() : (*router)->endpoints()).front().c_str());
  std::fflush(stdout);
  char ignored[64];
  while (::read(STDIN_FILENO, ignored, sizeof ignored) > 0) {
  }
  (*http)->stop();
  (*router)->stop();
  return (*intake)->stop();
}

}  // namespace

int run_ingest_server(const ingest_options& options) {
  end_with_parent();
  keep_large_blocks();
  if (auto served = serve(options); !served) return complain("ingest", served.error());
  return 0;
}

}  // namespace headrace::bench
