#include "worker/ingest/sorted_source.hpp"

#include <algorithm>
#include <numeric>
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
    made->events_.add(each);
  }
  made->order_.resize(made->events_.size());
  std::iota(made->order_.begin(), made->order_.end(), std::size_t{0});
  std::ranges::stable_sort(
      made->order_, {}, [&](std::size_t i) { return made->events_.time_ms(i); });
  return made;
}

result<bool> sorted_source::next(event& into) {
  if (position_ == order_.size()) return false;
  events_.get(order_[position_], into);
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
