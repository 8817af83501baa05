#include "actors/feed_front.hpp"

#include "base/json_line.hpp"
#include "worker/ingest/message_reader.hpp"

#include <cstdint>
#include <exception>
#include <pthread.h>
#include <utility>

namespace headrace::actors {
namespace {

constexpr std::uint64_t look_every_ns = 500'000'000;

worker::message_decoder decoder(const clock& time) {
  return [messages = std::make_shared<worker::message_reader>(time)](
             const auto& message, auto& refused) { return messages->read(message, refused); };
}

}  // namespace

feed_front::feed_front(std::unique_ptr<worker::broker_feed> feed,
                       offer to,
                       const clock& time,
                       on_failure failed)
    : time_(time),
      reader_(
          std::move(feed),
          decoder(time),
          [to = std::move(to)](worker::event_intake::request batch) {
            batch.trusted = true;
            to(std::move(batch));
          },
          worker::feed_reader::settings{},
          time) {
  thread_ = std::thread([this, failed = std::move(failed)] {
    ::pthread_setname_np(::pthread_self(), "event-feed");
    if (auto ran = run_safely(); !ran) failed(ran.error());
  });
}

feed_front::~feed_front() { stop(); }

// Of the broker's library, or for want of memory: ends the feed, not the process.
result<void> feed_front::run_safely() {
  try {
    return run();
  } catch (const std::exception& failure) {
    return error{errc::io_error, std::string("the feed failed: ") + failure.what()};
  }
}

result<void> feed_front::run() {
  std::uint64_t looked_ns = 0;
  while (!stopping_) {
    if (auto stepped = reader_.step(); !stepped) return stepped;
    if (time_.steady_ns() - looked_ns < look_every_ns) continue;
    looked_ns = time_.steady_ns();
    const std::lock_guard lock(mutex_);
    seen_ = reader_.look();
    counted_ = reader_.count();
  }
  return reader_.run(stopping_);  // waits for what is in flight
}

feed_front::figures feed_front::look() const {
  const std::lock_guard lock(mutex_);
  return {seen_, counted_};
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

}  // namespace headrace::actors
