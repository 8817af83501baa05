#include "worker/ingest/replayed_source.hpp"

#include "base/check.hpp"
#include "base/random.hpp"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

namespace headrace::worker {

result<std::unique_ptr<replayed_source>> replayed_source::read(std::unique_ptr<event_source> from,
                                                               settings how) {
  CHECK(how.passes >= 1);
  std::unique_ptr<replayed_source> made(new replayed_source(std::move(from), how));
  event each;
  for (;;) {
    auto more = made->from_->next(each);
    if (!more) return more.error();
    if (!*more) break;
    made->events_.add(each);
  }
  made->order_.resize(made->events_.size());
  return made;
}

result<bool> replayed_source::next(event& into) {
  if (position_ == records()) return false;
  order_pass(position_ / events_.size());
  events_.get(order_[position_ % events_.size()], into);
  into.row_number = position_++;
  return true;
}

result<void> replayed_source::skip(std::uint64_t through) {
  if (through > records()) {
    return error{errc::bad_input,
                 "the source has " + std::to_string(events_.size()) + " usable rows in " +
                     std::to_string(how_.passes) + " passes but " + std::to_string(through) +
                     " were read before; it is not the same file, or replay.passes is smaller"};
  }
  position_ = std::max(position_, through);
  return {};
}

// Each pass shuffles the source's order, not the order of the pass before: a resumed run needs none
// of those.
void replayed_source::order_pass(std::uint64_t pass) {
  if (std::exchange(ordered_pass_, pass) == pass) return;
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  if (!how_.shuffle) return;
  for (std::size_t i = order_.size(); i > 1; --i)
    std::swap(order_[i - 1], order_[counter_draw(how_.seed, pass, i) % i]);
}

}  // namespace headrace::worker
