#include "actors/system_config.hpp"

#include "actors/messages.hpp"

#include <algorithm>
#include <cstdint>
#include <thread>

namespace headrace::actors {

system_config::system_config() {
  add_message_types<caf::id_block::headrace>();
  set("scheduler.policy", caf::atom("sharing"));
  const auto cores = static_cast<std::int64_t>(std::thread::hardware_concurrency());
  set("scheduler.max-threads", std::max<std::int64_t>(cores, 2));
  set("logger.console", caf::atom("none"));
}

}  // namespace headrace::actors
