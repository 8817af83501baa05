#include "worker/batch/batch_builder.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <utility>

namespace headrace::worker {
namespace {

template <class Value>
void append(std::vector<Value>& to, const std::vector<Value>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

}  // namespace

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
  CHECK(next.more_labels.size() + 1 == held_.label_count);
  CHECK(next.lengths.size() == held_.sequences);
  held_.labels.push_back(next.label);
  append(held_.labels, next.more_labels);
  held_.row_numbers.push_back(next.row_number);
  append(held_.keys, next.keys);
  append(held_.values, next.values);
  append(held_.lengths, next.lengths);
  append(held_.sequence_keys, next.sequence_keys);
  held_.event_time_min_ms = std::min(held_.event_time_min_ms, next.event_time_ms);
  held_.event_time_max_ms = std::max(held_.event_time_max_ms, next.event_time_ms);
  held_.offset_end = position;
  const std::uint64_t accepted_ms = next.arrived_ms == 0 ? now_ms : next.arrived_ms;
  const std::uint64_t span_ms = accepted_ms - std::min(accepted_ms, held_.accepted_ms);
  held_.accepted_span_ms =
      std::max(held_.accepted_span_ms,
               static_cast<std::uint32_t>(std::min<std::uint64_t>(span_ms, UINT32_MAX)));
  ++held_.samples;
  if (held_.samples < settings_.samples_max) return std::nullopt;
  return flush();
}

void batch_builder::start(const event& first, std::uint64_t now_ns, std::uint64_t now_ms) {
  held_ = {};
  held_.source = settings_.source;
  held_.schema_version = settings_.schema_version;
  held_.features = static_cast<std::uint32_t>(first.keys.size());
  held_.label_count = static_cast<std::uint32_t>(1 + first.more_labels.size());
  held_.sequences = static_cast<std::uint32_t>(first.lengths.size());
  held_.event_time_min_ms = first.event_time_ms;
  held_.event_time_max_ms = first.event_time_ms;
  held_.accepted_ms = first.arrived_ms == 0 ? now_ms : first.arrived_ms;
  first_added_ns_ = now_ns;
  held_.labels.reserve(std::size_t{settings_.samples_max} * held_.label_count);
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
