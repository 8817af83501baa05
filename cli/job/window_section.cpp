#include "cli/job/window_section.hpp"

#include "base/nearest_word.hpp"
#include "cli/job/source_section.hpp"

#include <algorithm>
#include <cstdint>

namespace headrace::cli {
namespace {

constexpr std::uint64_t ms = 1'000'000;  // nanoseconds
constexpr std::uint64_t day = 86'400'000 * ms;

void read_key(config_reader& config,
              const std::string& section,
              const column_use& check,
              worker::sliding_window& window) {
  const std::string key = section + ".of";
  window.of = config.list(key);
  if (window.of.empty() || window.of.size() > worker::window_columns_max)
    config.refuse(key, "accepted is a column, or a list of 1 … 8 of them, such as \"user\"");
  for (const std::string& column : window.of) {
    if (std::ranges::count(window.of, column) > 1)
      config.refuse(key, "'" + column + "' is there twice");
    check(key, column);
  }
}

// Which events: an action of the join, those where a comparison holds, or both.
void read_feed(config_reader& config,
               const std::string& section,
               const std::vector<std::string>& actions,
               const column_use& check,
               worker::sliding_window& window) {
  const std::string on = section + ".on";
  window.on = config.text(on, "");
  if (!window.on.empty() && std::ranges::find(actions, window.on) == actions.end()) {
    const std::string near = nearest_word(window.on, actions);
    config.refuse(on,
                  "accepted is an action of [join]" +
                      (near.empty() ? std::string() : "; did you mean '" + near + "'?"));
  }
  const std::string where = section + ".where";
  const std::string text = config.text(where, "");
  if (text.empty()) return;
  window.where = parse_comparison(text);
  if (!window.where)
    return config.refuse(where, "accepted is a comparison COLUMN < <= == != >= > NUMBER");
  check(where, window.where->column);
}

}  // namespace

worker::sliding_window read_window(config_reader& config,
                                   const std::string& section,
                                   worker::sliding_window::measure is,
                                   const std::vector<std::string>& actions,
                                   const column_use& check) {
  worker::sliding_window window;
  window.is = is;
  read_key(config, section, check, window);
  const std::string over = section + ".over";
  window.over_ms = config.duration_ns(over, 0, {0, 365 * day}) / ms;
  if (window.over_ms == 0) {
    config.refuse(over, "how long the window is, \"1ms\" … \"365d\", is needed");
    window.over_ms = 1;
  }
  read_feed(config, section, actions, check, window);
  return window;
}

void read_window_limits(config_reader& config, worker::source_spec& source) {
  const bool any = std::ranges::any_of(
      source.features, [](const auto& feature) { return feature.window.has_value(); });
  if (!any && !config.has("windows")) return;
  worker::window_limits& made = source.windows;
  const auto whole = [&](const char* key, std::uint64_t fallback, std::int64_t most) {
    return static_cast<std::uint64_t>(
        config.whole(key, static_cast<std::int64_t>(fallback), {1, most}));
  };
  made.out_of_order_ms =
      config.duration_ns("windows.out_of_order", made.out_of_order_ms * ms, {0, 30 * day}) / ms;
  made.keys_max = whole("windows.keys_max", made.keys_max, 1'000'000'000);
  made.key_events_max = whole("windows.key_events_max", made.key_events_max, 1'000'000);
  made.events_max = whole("windows.events_max", made.events_max, 10'000'000'000);
  if (made.events_max < made.key_events_max)
    config.refuse("windows.events_max", "accepted is windows.key_events_max or more");
  if (!any)
    config.refuse("windows", "needs a feature of kind \"count\", \"sum\", \"rate\" or \"last\"");
}

}  // namespace headrace::cli
