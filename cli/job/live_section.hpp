#pragma once

#include "base/config.hpp"
#include "worker/events/event_gate.hpp"
#include "worker/events/producer_policy.hpp"
#include "worker/ingest/source_spec.hpp"
#include "worker/join/joiner.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What a job file says of live events: where they come from, what is taken of them, and how
/// impressions meet their actions. What is wrong, or doesn't fit the source, is remembered by the
/// reader (base/config.hpp).
namespace headrace::cli {

/// `[gate]`.
struct gate_spec {
  worker::event_gate::settings gate;            // its secret is not of the file
  worker::producer_policy::settings producers;  // without its tokens
  std::string token_env;                        // where they are; at most one of both is set
  std::string token_file;
};

/// `[join]`: of a job whose labels are actions.
struct join_section {
  worker::join_spec how;
  std::vector<std::string> actions;  // the labels, in this order
};

/// How events of `uri` come, if it is one of live events.
std::optional<worker::arrival> live_arrival(std::string_view uri);

/// The keys of `[source]` that say where live events come from, into `source.live`; the group is
/// `job_name` unless set. Any source: keys that don't fit it are refused.
void read_live_source(config_reader& config,
                      const std::string& job_name,
                      worker::source_spec& source);

/// Where a live job answers HTTP, as host:port: its endpoints for events over HTTP; without one
/// `source.status`, else the port behind that of `listen`, which is server.listen, or any free one
/// where that has none. Nothing for other jobs.
std::vector<std::string> read_http_endpoints(config_reader& config,
                                             const worker::source_spec& source,
                                             const std::string& listen);

/// Both sections are refused where no events come live.
gate_spec read_gate(config_reader& config, const worker::source_spec& source);
/// Nothing for a job that doesn't join. Writes the actions into `source` as its labels.
std::optional<join_section> read_join(config_reader& config, worker::source_spec& source);

}  // namespace headrace::cli
