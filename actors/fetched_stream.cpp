#include "actors/fetched_stream.hpp"

#include "base/log.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>
#include <vector>

namespace headrace::actors {

using namespace std::chrono_literals;

// Filled by the path's thread, emptied by the owner: the mutex guards all of it.
struct fetched_stream::inbox {
  std::mutex mutex;
  std::condition_variable arrived;
  std::vector<std::pair<std::uint64_t, frame>> answers;
  std::function<void()> wake;

  void put(std::uint64_t id, frame bytes) {
    const std::lock_guard lock(mutex);
    answers.emplace_back(id, std::move(bytes));
    arrived.notify_all();
    if (wake) wake();
  }
};

fetched_stream::fetched_stream(parts from, const clock& time)
    : parts_(std::move(from)),
      time_(time),
      fetch_(parts_.how, parts_.first),
      inbox_(std::make_shared<inbox>()) {}

result<std::unique_ptr<fetched_stream>> fetched_stream::open(parts from, const clock& time) {
  std::unique_ptr<fetched_stream> made(new fetched_stream(std::move(from), time));
  auto path =
      made->parts_.connect([box = made->inbox_](const schemas::envelope& head, frame section) {
        if (head.kind == schemas::message_kind::samples)
          box->put(head.request_id, std::move(section));
      });
  if (!path) return path.error();
  made->path_ = std::move(*path);
  return made;
}

fetched_stream::~fetched_stream() { static_cast<void>(close()); }

// Takes what came and sends what is due.
result<void> fetched_stream::exchange() {
  std::vector<std::pair<std::uint64_t, frame>> answers;
  {
    const std::lock_guard lock(inbox_->mutex);
    answers.swap(inbox_->answers);
  }
  for (const auto& [id, bytes] : answers) {
    if (auto taken = fetch_.take(id, bytes, time_.steady_ns()); !taken)
      return error{taken.error().code, "'" + parts_.endpoint + "': " + taken.error().detail};
  }
  const batch_number covered{parts_.covered ? parts_.covered->load(std::memory_order_relaxed) : 0};
  if (const auto due = fetch_.due(time_.steady_ns(), covered)) {
    schemas::envelope head;
    head.kind = schemas::message_kind::samples;
    head.sender = parts_.sender;
    head.request_id = due->id;
    head.sections.push_back({shard_id{0}});
    path_->send(head, {schemas::encode(due->asks)});
  }
  tell_trouble();
  return {};
}

void fetched_stream::tell_trouble() {
  const bool troubled = !fetch_.trouble().empty();
  if (troubled == troubled_) return;
  troubled_ = troubled;
  if (troubled)
    log_warn("samples.waiting", {{"endpoint", parts_.endpoint}, {"reason", fetch_.trouble()}});
  else
    log_info("samples.go_on", {{"endpoint", parts_.endpoint}});
}

result<fetched_stream::pumped> fetched_stream::next() {
  if (auto done = exchange(); !done) return done.error();
  if (auto batch = fetch_.pop()) return pumped{.batch = std::move(batch)};
  return pumped{.wake_ns = fetch_.wake_ns(), .finished = fetch_.finished()};
}

result<worker::sample_batch_ptr> fetched_stream::wait_for_next(std::chrono::milliseconds patience) {
  const std::uint64_t give_up = time_.steady_ns() + std::chrono::nanoseconds(patience).count();
  while (true) {
    auto came = next();
    if (!came) return came.error();
    if (came->batch || came->finished) return std::move(came->batch);
    const std::uint64_t now = time_.steady_ns();
    if (now >= give_up) {
      return error{errc::unavailable,
                   "no samples from '" + parts_.endpoint +
                       "'; is 'headrace ingest' running, and is the address right?"};
    }
    std::unique_lock lock(inbox_->mutex);
    const std::uint64_t until = std::min(give_up, came->wake_ns);
    inbox_->arrived.wait_for(lock, std::chrono::nanoseconds(until > now ? until - now : 1), [&] {
      return !inbox_->answers.empty();
    });
  }
}

result<void> fetched_stream::greet(std::chrono::milliseconds patience) {
  const std::uint64_t give_up = time_.steady_ns() + std::chrono::nanoseconds(patience).count();
  while (!fetch_.greeted()) {
    if (auto done = exchange(); !done) return done;
    const std::uint64_t now = time_.steady_ns();
    if (fetch_.greeted()) break;
    if (now >= give_up) {
      return error{errc::unavailable,
                   "no answer from '" + parts_.endpoint +
                       "'; is 'headrace ingest' running, and is the address right?"};
    }
    std::unique_lock lock(inbox_->mutex);
    const std::uint64_t until = std::min(give_up, fetch_.wake_ns());
    inbox_->arrived.wait_for(lock, std::chrono::nanoseconds(until > now ? until - now : 1), [&] {
      return !inbox_->answers.empty();
    });
  }
  return {};
}

void fetched_stream::on_more(const std::function<void()>& wake) {
  const std::lock_guard lock(inbox_->mutex);
  inbox_->wake = wake;
}

result<void> fetched_stream::close() {
  if (path_) path_->stop();
  return {};
}

}  // namespace headrace::actors
