#include "worker/ingest/event_list.hpp"

#include <numeric>

namespace headrace::worker {
namespace {

template <class Value>
void append(std::vector<Value>& to, const std::vector<Value>& more) {
  to.insert(to.end(), more.begin(), more.end());
}

template <class Value>
void copy(const std::vector<Value>& all,
          std::size_t first,
          std::size_t count,
          std::vector<Value>& to) {
  const auto begin = all.begin() + static_cast<std::ptrdiff_t>(first);
  to.assign(begin, begin + static_cast<std::ptrdiff_t>(count));
}

}  // namespace

void event_list::add(const event& each) {
  events_.push_back({each.event_time_ms, sequence_keys_.size(), each.label});
  append(keys_, each.keys);
  append(values_, each.values);
  append(more_labels_, each.more_labels);
  append(lengths_, each.lengths);
  append(sequence_keys_, each.sequence_keys);
  append(windows_, each.windows);
}

void event_list::get(std::size_t i, event& into) const {
  const placed& from = events_[i];
  // Every event has as many of each, but for the keys of lists.
  const auto take = [&](const auto& all, auto& to) {
    const std::size_t each = all.size() / events_.size();
    copy(all, i * each, each, to);
  };
  take(keys_, into.keys);
  take(values_, into.values);
  take(more_labels_, into.more_labels);
  take(lengths_, into.lengths);
  take(windows_, into.windows);
  const auto listed = std::accumulate(into.lengths.begin(), into.lengths.end(), std::size_t{0});
  copy(sequence_keys_, from.list_begin, listed, into.sequence_keys);
  into.label = from.label;
  into.event_time_ms = from.time_ms;
}

}  // namespace headrace::worker
