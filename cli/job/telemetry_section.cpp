#include "cli/job/telemetry_section.hpp"

#include "cli/job/http_place.hpp"

namespace headrace::cli {

telemetry_spec read_telemetry(config_reader& config) {
  const std::string uri = config.text("telemetry.http", "");
  const auto place = http_place(uri);
  if (!uri.empty() && !place) config.refuse("telemetry.http", http_accepted);
  return {place.value_or("")};
}

}  // namespace headrace::cli
