#include "cli/feed_front.hpp"

#include "base/json_line.hpp"
#include "base/log.hpp"
#include "worker/ingest/message_reader.hpp"

#include <cstdlib>
#include <pthread.h>
#include <utility>

namespace headrace::cli {
namespace {

constexpr std::uint64_t look_every_ns = 500'000'000;

worker::feed_spec::kind broker_of(worker::arrival way) {
  using kind = worker::feed_spec::kind;
  if (way == worker::arrival::jetstream) return kind::jetstream;
  return way == worker::arrival::redis ? kind::redis : kind::kafka;
}

result<worker::feed_spec> feed_of(const job& job) {
  const worker::live_spec& live = job.source.live;
  worker::feed_spec made;
  made.broker = broker_of(job.source.arrives);
  made.endpoints = live.brokers;
  made.topics = live.topics;
  made.subject = live.subject;
  made.group = live.group;
  made.client_id = "headrace-" + job.name;
  made.dead_letter = live.dead_letter;
  made.user = live.user;
  made.tls = live.tls;
  if (live.password_env.empty()) return made;
  const char* password = std::getenv(live.password_env.c_str());
  if (password == nullptr) {
    return error{errc::bad_config,
                 "source.password_env: there is no environment variable " + live.password_env};
  }
  made.password = password;
  return made;
}

}  // namespace

result<std::unique_ptr<feed_front>> feed_front::open(const job& job,
                                                     worker::event_intake& intake,
                                                     const clock& time,
                                                     std::function<void(error)> failed) {
  auto spec = feed_of(job);
  if (!spec) return spec.error();
  worker::feed_positions next;
  for (const auto& [partition, end] : intake.partitions()) next[partition] = end;
  auto feed = worker::open_feed(*spec, next);
  if (!feed) return feed.error();
  std::unique_ptr<feed_front> made(new feed_front);
  made->reader_ = std::make_unique<worker::feed_reader>(
      std::move(*feed),
      [messages = std::make_shared<worker::message_reader>(time)](
          const auto& message, auto& refused) { return messages->read(message, refused); },
      [&intake](worker::event_intake::request batch) {
        batch.trusted = true;
        intake.offer(std::move(batch));
      },
      worker::feed_reader::settings{},
      time);
  made->thread_ = std::thread([front = made.get(), &time, failed = std::move(failed)] {
    ::pthread_setname_np(::pthread_self(), "event-feed");
    try {
      if (auto run = front->run(time); !run) failed(run.error());
    } catch (const std::exception& thrown) {
      failed({errc::io_error, std::string("event feed: ") + thrown.what()});
    }
  });
  return made;
}

feed_front::~feed_front() { stop(); }

result<void> feed_front::run(const clock& time) {
  std::uint64_t looked_ns = 0;
  while (!stopping_) {
    if (auto stepped = reader_->step(); !stepped) return stepped;
    if (time.steady_ns() - looked_ns < look_every_ns) continue;
    looked_ns = time.steady_ns();
    const std::lock_guard lock(mutex_);
    seen_ = reader_->look();
    counted_ = reader_->count();
  }
  return reader_->run(stopping_);  // waits for what is in flight
}

std::string feed_front::status() const {
  const std::lock_guard lock(mutex_);
  json_line line;
  line.add("connected", seen_.connected)
      .add("last_error", seen_.last_error)
      .add("reconnects", seen_.reconnects)
      .add("messages", counted_.messages)
      .add("dead_letters", seen_.dead_letters)
      .add("missing", seen_.missing)
      .begin_object("lag");
  for (const auto& [partition, behind] : seen_.lag) line.add(partition, behind);
  return line.end().text();
}

void feed_front::stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

}  // namespace headrace::cli
