#include "base/check.hpp"
#include "base/json_line.hpp"
#include "base/units.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "worker/ingest/time_format.hpp"

#include <string>
#include <string_view>

/// Times, durations, sizes, and text on its way into JSON. A time's format and its text are cut at
/// the first line end.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace headrace;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto cut = text.find('\n');
  if (cut != std::string_view::npos) {
    const auto format = worker::time_format::parse(std::string(text.substr(0, cut)));
    if (format) {
      (void)format->to_ms(text.substr(cut + 1));
    } else {
      CHECK(!format.error().detail.empty());
    }
  }
  if (const auto ns = parse_duration_ns(text)) CHECK(*ns >= 0 && *ns <= 9e18);
  if (const auto bytes = parse_bytes(text)) CHECK(*bytes >= 0);
  std::string json;
  append_json_string(json, text);
  CHECK(json.size() >= 2 && json.front() == '"' && json.back() == '"');
  CHECK(json.find('\n') == std::string::npos);
  return 0;
}
