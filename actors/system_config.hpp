#pragma once

#include <caf/actor_system_config.hpp>

namespace headrace::actors {

/// The actor system of every verb: our message types, scheduler policy `sharing` (an idle actor is
/// woken in 4 to 11 µs instead of 12 to 98, and idling costs nothing: measured, docs/adr/0002), one
/// thread a core, at least 2.
class system_config : public caf::actor_system_config {
 public:
  system_config();
};

}  // namespace headrace::actors
