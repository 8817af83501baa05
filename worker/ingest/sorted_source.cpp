#include "worker/ingest/sorted_source.hpp"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

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

result<std::unique_ptr<sorted_source>> sorted_source::read(std::unique_ptr<event_source> from) {
  std::unique_ptr<sorted_source> made(new sorted_source(std::move(from)));
  event each;
  for (;;) {
    auto more = made->from_->next(each);
    if (!more) return more.error();
    if (!*more) break;
    made->order_.push_back(
        {each.event_time_ms, made->order_.size(), made->sequence_keys_.size(), each.label});
    append(made->keys_, each.keys);
    append(made->values_, each.values);
    append(made->more_labels_, each.more_labels);
    append(made->lengths_, each.lengths);
    append(made->sequence_keys_, each.sequence_keys);
  }
  std::stable_sort(made->order_.begin(), made->order_.end(), [](const placed& a, const placed& b) {
    return a.time_ms < b.time_ms;
  });
  return made;
}

result<bool> sorted_source::next(event& into) {
  if (position_ == order_.size()) return false;
  const placed& from = order_[position_];
  // Every event has as many of each, but for the keys of lists.
  const auto take = [&](const auto& all, auto& to) {
    const std::size_t each = all.size() / order_.size();
    copy(all, from.place * each, each, to);
  };
  take(keys_, into.keys);
  take(values_, into.values);
  take(more_labels_, into.more_labels);
  take(lengths_, into.lengths);
  const auto listed = std::accumulate(into.lengths.begin(), into.lengths.end(), std::size_t{0});
  copy(sequence_keys_, from.list_begin, listed, into.sequence_keys);
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
