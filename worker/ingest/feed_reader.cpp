#include "worker/ingest/feed_reader.hpp"

#include "base/check.hpp"
#include "base/utf8.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::uint64_t ns_of_ms = 1'000'000;
constexpr std::uint32_t again_ms_min = 10;
constexpr std::chrono::milliseconds busy_patience{1};  // of a poll, while acks are awaited
constexpr std::chrono::milliseconds end_patience{2'000};

/// What stands for events without a key: the message's, where it can be one.
std::string_view join_key(const broker_message& message) {
  const bool fits = message.key.size() <= schemas::event_key_bytes_max && is_utf8(message.key);
  return fits ? message.key : std::string_view();
}

std::string reason_of(const schemas::event_refusal& refusal, std::size_t more) {
  std::string reason(schemas::name(refusal.fault));
  if (!refusal.detail.empty()) reason += ": " + refusal.detail;
  if (more > 0) reason += " (and " + std::to_string(more) + " more)";
  return reason;
}

/// What is thrown in `work` ends the reader, not the process.
template <class Work>
result<void> guard(Work work) {
  try {
    return work();
  } catch (const std::exception& thrown) {
    return error{errc::io_error, std::string("events from the broker: ") + thrown.what()};
  }
}

bool is_about_the_batch(errc status) {
  return status == errc::malformed || status == errc::too_large || status == errc::bad_protocol ||
         is_permanent(status);
}

}  // namespace

/// Where acks come in, from the intake's threads. Outlives the reader while one is on its way.
struct feed_reader::mailbox {
  struct letter {
    std::string partition;
    schemas::event_ack ack;
  };
  std::mutex guard;  // of letters
  std::condition_variable came;
  std::vector<letter> letters;
  std::exception_ptr thrown;  // instead of a letter

  /// What is thrown here is the reader's to say, not the intake's.
  void put(const std::string& partition, schemas::event_ack ack) noexcept {
    const std::lock_guard held(guard);
    try {
      letters.push_back({partition, std::move(ack)});
    } catch (...) {
      thrown = std::current_exception();
    }
    came.notify_one();
  }
  std::vector<letter> wait(std::chrono::milliseconds patience) {
    std::unique_lock held(guard);
    const auto is_there = [this] { return !letters.empty() || thrown != nullptr; };
    if (patience.count() > 0) came.wait_for(held, patience, is_there);
    if (thrown != nullptr) std::rethrow_exception(thrown);
    return std::exchange(letters, {});
  }
};

feed_reader::feed_reader(std::unique_ptr<broker_feed> feed,
                         message_decoder decode,
                         offer to,
                         settings how,
                         const clock& time)
    : feed_(std::move(feed)),
      decode_(std::move(decode)),
      to_(std::move(to)),
      how_(std::move(how)),
      time_(time),
      mail_(std::make_shared<mailbox>()) {}
feed_reader::~feed_reader() = default;

feed_reader::lane& feed_reader::lane_of(std::string_view partition) {
  auto found = lanes_.find(partition);
  if (found == lanes_.end()) {
    const std::string name(partition);
    found = lanes_.emplace(name, std::make_unique<lane>(name, how_.batches)).first;
  }
  return *found->second;
}

bool feed_reader::has_room() const {
  return std::all_of(lanes_.begin(), lanes_.end(), [this](const auto& entry) {
    return !entry.second->again_at_ns && entry.second->gather.waiting() < how_.batches_waiting_max;
  });
}

result<void> feed_reader::step() {
  return guard([this] { return round(); });
}

result<void> feed_reader::round() {
  const bool room = has_room();
  if (room == paused_) {
    paused_ = !room;
    paused_ ? feed_->pause() : feed_->resume();
  }
  if (auto taken = take_acks(room ? std::chrono::milliseconds(0) : how_.patience); !taken) {
    return taken;
  }
  send_what_is_due();  // before a poll that may wait
  if (auto polled = poll(); !polled) return polled;
  send_what_is_due();
  return {};
}

result<void> feed_reader::run(const std::atomic<bool>& stop) {
  while (!stop.load(std::memory_order_relaxed)) {
    if (auto done = step(); !done) return done;
  }
  const auto end = time_.steady_ns() + static_cast<std::uint64_t>(end_patience.count()) * ns_of_ms;
  while (count_.in_flight > 0 && time_.steady_ns() < end) {
    if (auto taken = guard([this] { return take_acks(how_.patience); }); !taken) return taken;
  }
  return {};
}

/// Polls also while paused: a broker wants to hear from us.
result<void> feed_reader::poll() {
  polled_.clear();
  auto patience = count_.in_flight > 0 ? std::min(busy_patience, how_.patience) : how_.patience;
  if (paused_) patience = std::chrono::milliseconds(0);
  if (auto done = feed_->poll(patience, how_.messages_at_once, polled_); !done) return done;
  for (const auto& message : polled_) {
    if (auto done = decode(message); !done) return done;
  }
  return {};
}

result<void> feed_reader::decode(const broker_message& message) {
  static const schemas::event_batch nothing;
  ++count_.messages;
  refused_.clear();
  const schemas::event_batch* events = &nothing;
  const auto key = join_key(message);
  if (!message.tombstone) {
    auto read = message;
    read.key = key;
    const auto decoded = decode_(read, refused_);
    if (decoded) events = *decoded;
    if (!decoded) refused_ = {{0, schemas::event_fault::malformed, decoded.error().detail}};
  }
  if (!refused_.empty()) {
    count_.refused += refused_.size();
    const auto reason = reason_of(refused_.front(), refused_.size() - 1);
    if (auto done = feed_->dead_letter(message, reason); !done) return done;
  }
  lane_of(message.partition).gather.add(message, *events, key);
  return {};
}

void feed_reader::send_what_is_due() {
  for (auto& [partition, one] : lanes_) {
    if (one->again_at_ns && *one->again_at_ns <= time_.steady_ns()) {
      one->again_at_ns.reset();
      send(*one);
    } else if (!one->sent && one->gather.has_batch()) {
      one->sent = one->gather.take();
      send(*one);
    }
  }
}

void feed_reader::send(lane& one) {
  ++count_.in_flight;
  to_({one.sent->events,
       [mail = mail_, partition = one.gather.partition()](schemas::event_ack ack) {
         mail->put(partition, std::move(ack));
       }});
}

result<void> feed_reader::take_acks(std::chrono::milliseconds patience) {
  for (const auto& letter : mail_->wait(patience)) {
    --count_.in_flight;
    if (auto done = take_ack(lane_of(letter.partition), letter.ack); !done) return done;
  }
  return {};
}

result<void> feed_reader::take_ack(lane& of, const schemas::event_ack& ack) {
  CHECK(of.sent);
  // A full disk is waited for, too: the log takes the same batch when there is room.
  if (is_transient(ack.status) || ack.status == errc::disk_full) {
    ++count_.overloaded;
    of.again_at_ns = time_.steady_ns() + std::max(ack.retry_after_ms, again_ms_min) * ns_of_ms;
    return {};
  }
  if (ack.status != errc::ok && !is_about_the_batch(ack.status)) {
    return error{ack.status, "event log: " + ack.detail};
  }
  if (auto done = bury(of, ack); !done) return done;
  if (ack.status == errc::ok) {
    ++count_.batches;
    count_.accepted += ack.accepted;
    count_.duplicates += ack.duplicates;
    count_.refused += ack.refused;
  }
  const auto end = of.sent->offset_end;
  of.sent.reset();
  return feed_->commit(of.gather.partition(), end);
}

/// Writes the dead letters of a batch: each message once.
result<void> feed_reader::bury(lane& of, const schemas::event_ack& ack) {
  const auto& batch = *of.sent;
  const auto& partition = of.gather.partition();
  if (ack.status != errc::ok) {
    count_.refused += batch.messages.size();
    for (std::size_t i = 0; i < batch.messages.size(); ++i) {
      const auto reason = std::string(name(ack.status)) + ": " + ack.detail;
      if (auto done = feed_->dead_letter(batch.message(i, partition), reason); !done) return done;
    }
    return {};
  }
  std::optional<std::size_t> last;
  for (const auto& refusal : ack.refusals) {
    if (batch.messages.empty() || refusal.event >= batch.messages.back().events_end) continue;
    const auto message = batch.message_of(refusal.event);
    if (last == message) continue;
    last = message;
    const auto reason = reason_of(refusal, 0);
    if (auto done = feed_->dead_letter(batch.message(message, partition), reason); !done) {
      return done;
    }
  }
  return {};
}

}  // namespace headrace::worker
