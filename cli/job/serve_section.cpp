#include "cli/job/serve_section.hpp"

#include "cli/job/http_place.hpp"

namespace headrace::cli {
namespace {

constexpr std::uint64_t us = 1'000;  // nanoseconds
constexpr std::uint64_t ms = 1'000 * us;
constexpr std::uint64_t minute = 60'000 * ms;

}  // namespace

serve_spec read_serve(config_reader& config) {
  serve_spec made;
  const auto whole = [&](const char* key, std::uint32_t fallback, whole_range accepted) {
    return static_cast<std::uint32_t>(config.whole(key, fallback, accepted));
  };
  const auto duration = [&](const char* key, std::uint64_t fallback_ns, duration_range accepted) {
    return config.duration_ns(key, fallback_ns, accepted);
  };
  const std::string uri = config.text("serve.http", "");
  const auto place = http_place(uri);
  if (!uri.empty() && !place) config.refuse("serve.http", http_accepted);
  made.http = place.value_or("");
  made.threads = whole("serve.threads", made.threads, {1, 64});
  made.queue = whole("serve.queue", made.queue, {1, 65'536});
  made.batch = whole("serve.batch_max", made.batch, {1, 65'536});
  made.wait_us = static_cast<std::uint32_t>(
      duration("serve.batch_wait", made.wait_us * us, {0, 100 * ms}) / us);
  made.interval_ms = static_cast<std::uint32_t>(
      duration("serve.interval", made.interval_ms * ms, {ms, minute}) / ms);
  made.stale_ms_max = static_cast<std::uint32_t>(
      duration("serve.stale_max", made.stale_ms_max * ms, {0, 1'440 * minute}) / ms);
  return made;
}

}  // namespace headrace::cli
