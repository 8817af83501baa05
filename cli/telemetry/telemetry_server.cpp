#include "cli/telemetry/telemetry_server.hpp"

#include "actors/http/plain_routes.hpp"
#include "base/log.hpp"
#include "cli/event_tokens.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace headrace::cli {

result<std::unique_ptr<actors::http_server>> serve_telemetry(const job& job,
                                                             process_facts what,
                                                             job_metrics& metrics,
                                                             std::vector<actors::http_route> more) {
  auto not_ready = what.not_ready;
  metrics.add([what = std::move(what)](metrics_page& page) { say_process(what, page); });
  if (job.telemetry.http.empty()) return std::unique_ptr<actors::http_server>();
  auto tokens = read_tokens(job.gate);
  if (!tokens) return tokens.error();
  auto routes = actors::plain_routes({std::move(not_ready), [&metrics] { return metrics.text(); }});
  for (auto& each : routes) {
    if (each.path == "/metrics") each = guarded(*tokens, std::move(each));
  }
  std::ranges::move(more, std::back_inserter(routes));
  auto server = actors::http_server::open({job.telemetry.http}, std::move(routes));
  if (!server)
    return error{server.error().code,
                 "telemetry.http: " + server.error().detail + "; --metrics ADDRESS says another"};
  for (const std::string& address : (*server)->endpoints())
    log_info("telemetry.listening", {{"endpoint", "http://" + address + "/metrics"}});
  return server;
}

}  // namespace headrace::cli
