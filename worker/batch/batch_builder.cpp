#include "worker/batch/batch_builder.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <utility>

namespace headrace::worker {

batch_builder::batch_builder(settings given) : settings_(std::move(given)) {
  CHECK(settings_.samples_max >= 1);
}

std::optional<schemas::sample_batch> batch_builder::add(const event& next,
                                                        std::uint64_t position,
                                                        std::uint64_t now_ns,
                                                        std::uint64_t now_ms) {
  if (empty()) start(next, now_ns, now_ms);
  CHECK(next.keys.size() == held_.features);
  CHECK(next.values.empty() == held_.values.empty() || held_.samples == 0);
  held_.labels.push_back(next.label);
  held_.row_numbers.push_back(next.row_number);
  held_.keys.insert(held_.keys.end(), next.keys.begin(), next.keys.end());
  held_.values.insert(held_.values.end(), next.values.begin(), next.values.end());
  held_.event_time_min_ms = std::min(held_.event_time_min_ms, next.event_time_ms);
  held_.event_time_max_ms = std::max(held_.event_time_max_ms, next.event_time_ms);
  held_.offset_end = position;
  ++held_.samples;
  if (held_.samples < settings_.samples_max) return std::nullopt;
  return flush();
}

void batch_builder::start(const event& first, std::uint64_t now_ns, std::uint64_t now_ms) {
  held_ = {};
  held_.source = settings_.source;
  held_.schema_version = settings_.schema_version;
  held_.features = static_cast<std::uint32_t>(first.keys.size());
  held_.event_time_min_ms = first.event_time_ms;
  held_.event_time_max_ms = first.event_time_ms;
  held_.accepted_ms = now_ms;
  first_added_ns_ = now_ns;
  held_.labels.reserve(settings_.samples_max);
  held_.row_numbers.reserve(settings_.samples_max);
  held_.keys.reserve(settings_.samples_max * first.keys.size());
  held_.values.reserve(settings_.samples_max * first.values.size());
}

std::optional<schemas::sample_batch> batch_builder::flush() {
  if (empty()) return std::nullopt;
  return std::exchange(held_, {});
}

std::optional<std::uint64_t> batch_builder::due_at_ns() const {
  if (empty()) return std::nullopt;
  return first_added_ns_ + settings_.wait_ns;
}

bool batch_builder::due(std::uint64_t now_ns) const {
  return !empty() && now_ns >= first_added_ns_ + settings_.wait_ns;
}

}  // namespace headrace::worker
