#include "worker/ingest/windowed_source.hpp"

namespace headrace::worker {

result<bool> windowed_source::next(event& into) {
  auto more = inner_->next(into);
  if (!more || !*more) return more;
  windows_.write(into);
  return true;
}

result<void> windowed_source::skip(std::uint64_t through) {
  event passed;
  while (position() < through) {
    auto more = next(passed);
    if (!more) return more.error();
    if (!*more) return inner_->skip(through);  // it is shorter, and says so
  }
  return {};
}

}  // namespace headrace::worker
