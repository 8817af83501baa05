#include "actors/replica_follower.hpp"

#include "base/log.hpp"
#include "base/process_secret.hpp"
#include "schemas/wire.hpp"
#include "serve/follow_plan.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace headrace::actors {
namespace {

serve::follow_plan::settings settings_of(const replica_follower::parts& from) {
  serve::follow_plan::settings how;
  how.job_fingerprint = from.job_fingerprint;
  how.subscriber = drawn_number();
  how.interval_ms = from.interval_ms;
  return how;
}

}  // namespace

// Filled by the path's thread, emptied by the follower's, read by any.
struct replica_follower::state {
  struct came {
    shard_id shard;
    std::uint64_t id = 0;
    frame bytes;
  };
  state(parts with, const clock& its_time)
      : from(std::move(with)), time(its_time), plan(settings_of(from), *from.into) {}

  parts from;
  const clock& time;
  serve::follow_plan plan;  // of the follower's thread
  std::unique_ptr<request_path> path;
  std::thread thread;
  bool troubled = false;  // as logged last

  std::mutex mutex;  // guards what follows
  std::condition_variable arrived;
  std::vector<came> answers;
  figures counted;
  bool stopping = false;

  void put(const schemas::envelope& head, frame section) {
    if (head.kind != schemas::message_kind::follow || head.sections.size() != 1) return;
    const std::lock_guard lock(mutex);
    answers.push_back({head.sections[0].shard, head.request_id, std::move(section)});
    arrived.notify_one();
  }
  void run();
  void exchange(const std::vector<came>& now_here);
  void tell_trouble(const std::string& why);
};

void replica_follower::state::run() {
  std::vector<came> now_here;
  while (true) {
    exchange(now_here);
    now_here.clear();
    std::unique_lock lock(mutex);
    const std::uint64_t wake = plan.wake_ns();
    const std::uint64_t now = time.steady_ns();
    arrived.wait_for(lock, std::chrono::nanoseconds(wake > now ? wake - now : 0), [&] {
      return stopping || !answers.empty();
    });
    if (stopping) return;
    now_here.swap(answers);
  }
}

// Takes what came and sends what is due.
void replica_follower::state::exchange(const std::vector<came>& now_here) {
  for (const came& one : now_here)
    plan.take(one.shard, one.id, one.bytes, time.steady_ns(), time.now_ms());
  while (const auto due = plan.due(time.steady_ns())) {
    schemas::envelope head;
    head.kind = schemas::message_kind::follow;
    head.sender = from.sender;
    head.request_id = due->id;
    head.sections.push_back({due->asks.shard});
    path->send(head, {schemas::encode(due->asks)});
  }
  const auto seen = plan.count();
  tell_trouble(seen.trouble);
  const std::lock_guard lock(mutex);
  counted = {seen.deltas,
             seen.bytes,
             seen.rows,
             seen.sessions,
             seen.resumed,
             seen.refused,
             seen.lag_versions,
             seen.heard_ms,
             seen.trouble};
}

void replica_follower::state::tell_trouble(const std::string& why) {
  const bool now = !why.empty();
  if (now == troubled) return;
  troubled = now;
  if (now)
    log_warn("replica.waiting", {{"endpoint", from.endpoint}, {"reason", why}});
  else
    log_info("replica.goes_on", {{"endpoint", from.endpoint}});
}

replica_follower::replica_follower(std::shared_ptr<state> running) : state_(std::move(running)) {}

result<std::unique_ptr<replica_follower>> replica_follower::start(parts from, const clock& time) {
  auto made = std::make_shared<state>(std::move(from), time);
  // The path's receiver must not keep alive what owns the path.
  auto path = made->from.connect(
      [to = std::weak_ptr<state>(made)](const schemas::envelope& head, frame section) {
        if (const auto there = to.lock()) there->put(head, std::move(section));
      });
  if (!path) return path.error();
  made->path = std::move(*path);
  made->thread = std::thread([running = made.get()] { running->run(); });
  return std::unique_ptr<replica_follower>(new replica_follower(std::move(made)));
}

replica_follower::~replica_follower() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->arrived.notify_one();
  state_->thread.join();
  state_->path->stop();
}

replica_follower::figures replica_follower::count() const {
  const std::lock_guard lock(state_->mutex);
  return state_->counted;
}

}  // namespace headrace::actors
