#include "actors/event_client.hpp"
#include "actors/transport/context.hpp"
#include "base/clock.hpp"
#include "bench/ingest/load.hpp"

#include <condition_variable>
#include <mutex>
#include <utility>

namespace headrace::bench {
namespace {

/// Our client, as a producer links it. Batches are encoded beforehand: the intake is measured.
class headrace_sender final : public ingest_sender {
 public:
  static result<std::unique_ptr<ingest_sender>> open(const ingest_options& options) {
    std::unique_ptr<headrace_sender> made(new headrace_sender(options));
    actors::event_client::options how;
    how.sender = "bench";
    how.window.in_flight_max = options.depth;
    auto client = actors::event_client::open(made->context_, options.endpoint, how);
    if (!client) return client.error();
    made->client_ = std::move(*client);
    return std::unique_ptr<ingest_sender>(std::move(made));
  }
  ~headrace_sender() override { client_->stop(); }

  result<bool> send(std::uint64_t number, std::chrono::milliseconds patience) override {
    std::uint64_t begin = 0;
    {
      std::unique_lock lock(mutex_);
      if (!answered_.wait_for(lock, patience, [this] { return in_flight_ < depth_; })) return false;
      if (failed_.code != errc::ok) return failed_;
      ++in_flight_;
      begin = time_.steady_ns();
      if (found_.begin_ns == 0) found_.begin_ns = begin;
    }
    auto pushed = client_->push(batches_[number],
                                [this, begin](const schemas::event_ack& ack) { take(ack, begin); });
    if (!pushed) return pushed.error();
    return true;
  }
  result<void> finish() override {
    if (auto flushed = client_->flush(std::chrono::minutes(2)); !flushed) return flushed;
    const std::lock_guard lock(mutex_);
    if (failed_.code != errc::ok) return failed_;
    return {};
  }
  client_result look() const override {
    const std::lock_guard lock(mutex_);
    return found_;
  }

 private:
  explicit headrace_sender(const ingest_options& options) : depth_(options.depth) {
    for (std::uint64_t i = 0; i < options.batches_of_client(); ++i)
      batches_.push_back(make_event_batch(options, i, time_.now_ms()));
  }
  void take(const schemas::event_ack& ack, std::uint64_t begin) {
    const std::lock_guard lock(mutex_);
    found_.end_ns = time_.steady_ns();
    found_.batch_us.push_back(static_cast<std::uint32_t>((found_.end_ns - begin) / 1'000));
    found_.acknowledged += ack.accepted + ack.duplicates;
    if (ack.status == errc::cancelled) return;
    if (ack.status != errc::ok) failed_ = {ack.status, ack.detail};
    if (ack.refused != 0) failed_ = {errc::malformed, ack.refusals.at(0).detail};
    --in_flight_;
    answered_.notify_one();
  }

  system_clock time_;
  std::vector<frame> batches_;
  const std::uint32_t depth_;
  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable answered_;
  std::uint32_t in_flight_ = 0;
  client_result found_;
  error failed_;
  actors::transport_context context_;
  std::unique_ptr<actors::event_client> client_;
};

}  // namespace

result<std::unique_ptr<ingest_sender>> open_headrace_sender(const ingest_options& options) {
  return headrace_sender::open(options);
}

}  // namespace headrace::bench
