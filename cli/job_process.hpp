#pragma once

#include "actors/system_config.hpp"
#include "actors/transport/context.hpp"
#include "base/clock.hpp"

#include <caf/actor_system.hpp>

namespace headrace::cli {

/// What every process that runs a part of a job needs, in the order it must be made and, backwards,
/// ended.
struct job_process {
  system_clock time;
  actors::system_config config;
  caf::actor_system system{config};
  actors::transport_context transport;
};

}  // namespace headrace::cli
