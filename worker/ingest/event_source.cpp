#include "worker/ingest/event_source.hpp"

#include "worker/ingest/crossed_source.hpp"
#include "worker/ingest/file_source.hpp"
#include "worker/ingest/planted_source.hpp"
#include "worker/ingest/sorted_source.hpp"
#include "worker/ingest/windowed_source.hpp"

#include <algorithm>
#include <utility>

namespace headrace::worker {
namespace {

result<std::unique_ptr<event_source>> make_plain(const source_spec& spec) {
  if (is_live(spec.arrives)) {
    return error{errc::bad_config,
                 "source '" + spec.uri + "' is live: it cannot be read from its beginning"};
  }
  if (spec.generate != generator::none) {
    return std::unique_ptr<event_source>(
        std::make_unique<planted_source>(spec.rows, spec.seed, spec.generate));
  }
  auto file = file_source::open(spec);
  if (!file) return file.error();
  if (!spec.sort_by_time) return std::unique_ptr<event_source>(std::move(*file));
  if (spec.time_column.empty()) {
    return error{errc::bad_config, "source.sort_by_time needs source.time_column"};
  }
  auto sorted = sorted_source::read(std::move(*file));
  if (!sorted) return sorted.error();
  return std::unique_ptr<event_source>(std::move(*sorted));
}

}  // namespace

result<std::unique_ptr<event_source>> make_source(const source_spec& spec) {
  auto plain = make_plain(spec);
  if (!plain) return plain;
  const bool windows = std::ranges::any_of(
      spec.features, [](const feature_spec& feature) { return feature.window.has_value(); });
  if (windows)
    plain =
        std::unique_ptr<event_source>(std::make_unique<windowed_source>(std::move(*plain), spec));
  if (spec.crosses.empty()) return plain;
  return std::unique_ptr<event_source>(
      std::make_unique<crossed_source>(std::move(*plain), spec.crosses));
}

}  // namespace headrace::worker
