#include "worker/ingest/sorted_source.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace headrace::worker {

result<std::unique_ptr<sorted_source>> sorted_source::read(std::unique_ptr<event_source> from) {
  std::unique_ptr<sorted_source> made(new sorted_source(std::move(from)));
  event each;
  for (;;) {
    auto more = made->from_->next(each);
    if (!more) return more.error();
    if (!*more) break;
    made->order_.push_back({each.event_time_ms, made->order_.size(), each.label});
    made->keys_.insert(made->keys_.end(), each.keys.begin(), each.keys.end());
    made->values_.insert(made->values_.end(), each.values.begin(), each.values.end());
    made->more_labels_.insert(
        made->more_labels_.end(), each.more_labels.begin(), each.more_labels.end());
  }
  std::stable_sort(made->order_.begin(), made->order_.end(), [](const placed& a, const placed& b) {
    return a.time_ms < b.time_ms;
  });
  return made;
}

result<bool> sorted_source::next(event& into) {
  if (position_ == order_.size()) return false;
  const placed& from = order_[position_];
  const auto copy = [&](const auto& all, std::size_t of_an_event, auto& to) {
    to.clear();
    if (all.empty()) return;
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(from.place * of_an_event);
    to.assign(begin, begin + static_cast<std::ptrdiff_t>(of_an_event));
  };
  copy(keys_, features(), into.keys);
  copy(values_, features(), into.values);
  copy(more_labels_, more_labels_.size() / order_.size(), into.more_labels);
  into.label = from.label;
  into.event_time_ms = from.time_ms;
  into.row_number = position_++;
  return true;
}

result<void> sorted_source::skip(std::uint64_t through) {
  if (through > order_.size()) {
    return error{errc::bad_input,
                 "the source has " + std::to_string(order_.size()) + " usable rows but " +
                     std::to_string(through) + " were read before; it is not the same file"};
  }
  position_ = std::max(position_, through);
  return {};
}

}  // namespace headrace::worker
