#include "worker/events/event_intake.hpp"

#include "base/check.hpp"
#include "base/log.hpp"
#include "worker/events/event_reader.hpp"

#include <algorithm>
#include <chrono>
#include <pthread.h>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::size_t groups_in_flight_max = 16;
constexpr std::size_t group_batches_max = 256;
constexpr std::size_t group_bytes_max = std::size_t{4} << 20;
constexpr std::uint32_t failure_retry_ms = 1'000;
constexpr std::uint64_t calm_ns = 5'000'000'000;  // after a batch was turned away
constexpr std::uint64_t gap_ms_max = 1'000;       // as live_source counts a time without a record

schemas::event_ack refusal(errc status, std::string detail, std::uint32_t retry_after_ms = 0) {
  schemas::event_ack ack;
  ack.status = status;
  ack.detail = std::move(detail);
  ack.retry_after_ms = retry_after_ms;
  return ack;
}

result<void> for_each_record(storage::ordered_log& log,
                             lsn from,
                             const std::function<result<bool>(const logged_events&)>& visit) {
  result<void> failed;
  auto read = log.read_from(from, [&](const storage::log_record& record) {
    const auto events = to_logged_events(record);
    if (!events) {
      failed = events.error();
      return false;
    }
    const auto more = visit(**events);
    if (!more) failed = more.error();
    return more && *more;
  });
  if (!read) return read;
  return failed;
}

// What the log holds was decodable when it was appended.
error not_events(const logged_events& record, const error& why) {
  return {errc::corrupt,
          "event log: record " + std::to_string(record.position.value) + ": " + why.detail};
}

}  // namespace

result<std::unique_ptr<event_intake>> event_intake::open(std::unique_ptr<storage::ordered_log> log,
                                                         event_schema schema,
                                                         const settings& how,
                                                         const read_state& read,
                                                         const clock& time) {
  std::unique_ptr<event_intake> made(
      new event_intake(std::move(log), event_gate(how.gate, std::move(schema)), how, time));
  if (auto recalled = made->recall(read); !recalled) return recalled.error();
  made->thread_ = std::thread([intake = made.get()] {
    ::pthread_setname_np(::pthread_self(), "event-intake");
    intake->run();
  });
  return made;
}

event_intake::event_intake(std::unique_ptr<storage::ordered_log> log,
                           event_gate gate,
                           const settings& how,
                           const clock& time)
    : log_(std::move(log)),
      how_(how),
      time_(time),
      tail_(how_.tail_bytes_max),
      gate_(std::move(gate)),
      policy_(how_.producers) {}

event_intake::~event_intake() { static_cast<void>(stop()); }  // who needs to know calls stop()

// Opening: what the log says of earlier runs.

result<void> event_intake::recall(const read_state& read) {
  end_ = log_->last().last;
  if (auto recalled = recall_partitions(read); !recalled) return recalled;
  if (auto recalled = recall_ids(); !recalled) return recalled;
  if (end_.value > 0) idle_left_ms_ = how_.idle_ms;  // windows may be open: their time goes on
  return {};
}

result<void> event_intake::recall_partitions(const read_state& read) {
  partitions_ = read.partitions;
  if (end_ <= read.through) return {};
  return for_each_record(
      *log_, lsn{read.through.value + 1}, [&](const logged_events& record) -> result<bool> {
        unread_.fetch_add(static_cast<std::int64_t>(record.bytes()), std::memory_order_relaxed);
        stamp_ms_ = std::max(stamp_ms_, record.arrived_ms);
        if (record.batch.empty()) return true;
        if (auto batch = schemas::decode_event_batch(record.batch, decoded_); !batch)
          return not_events(record, batch.error());
        if (!decoded_.partition.empty())
          partitions_[std::string(decoded_.partition)] = decoded_.offset_end;
        return true;
      });
}

// How many of the last records hold the ids to remember: nobody knows, so it looks back twice as
// far each time.
result<std::uint64_t> event_intake::records_to_recall() {
  const auto kept = log_->last();
  const std::uint64_t records = kept.last.value + 1 - kept.first.value;
  for (std::uint64_t back = 256; back < records; back *= 2) {
    std::uint64_t events = 0;
    auto read = for_each_record(
        *log_, lsn{kept.last.value + 1 - back}, [&](const logged_events& record) -> result<bool> {
          if (record.batch.empty()) return true;
          if (auto batch = schemas::decode_event_batch(record.batch, decoded_); !batch)
            return not_events(record, batch.error());
          for (std::size_t i = 0; i < decoded_.events.size(); ++i)
            events += !decoded_.events[i].id.empty() && !is_left_out(record.left_out, i) ? 1 : 0;
          return events < how_.gate.duplicate_ids;
        });
    if (!read) return read.error();
    if (events >= how_.gate.duplicate_ids) return back;
  }
  return records;
}

result<void> event_intake::recall_ids() {
  const auto kept = log_->last();
  if (kept.last.value == 0) return {};
  const auto back = records_to_recall();
  if (!back) return back.error();
  return for_each_record(
      *log_, lsn{kept.last.value + 1 - *back}, [&](const logged_events& record) -> result<bool> {
        stamp_ms_ = std::max(stamp_ms_, record.arrived_ms);
        if (record.batch.empty()) return true;
        if (auto batch = schemas::decode_event_batch(record.batch, decoded_); !batch)
          return not_events(record, batch.error());
        gate_.remember(decoded_, record.left_out);
        return true;
      });
}

// Any thread.

void event_intake::offer(request batch) {
  CHECK(batch.done != nullptr);
  if (auto refused = turn_away(batch)) return batch.done(std::move(*refused));
  work_.notify_one();
}

// Puts the batch in line, or says why not.
std::optional<schemas::event_ack> event_intake::turn_away(request& batch) {
  const std::lock_guard lock(mutex_);
  if (stopping_) return refusal(errc::unavailable, "shutting down", failure_retry_ms);
  const std::size_t bytes = batch.batch.size();
  const bool full = waiting_bytes_ + bytes > how_.bytes_waiting_max && !waiting_.empty();
  const std::int64_t behind = unread_.load(std::memory_order_relaxed);
  if (full || (behind > 0 && static_cast<std::uint64_t>(behind) > how_.bytes_unread_max)) {
    ++published_.overloaded;
    turned_away_ns_ = time_.steady_ns();
    return refusal(errc::overloaded,
                   full ? "too much waits for the log" : "training is too far behind",
                   how_.retry_after_ms);
  }
  waiting_bytes_ += bytes;
  waiting_.push_back(std::move(batch));
  return std::nullopt;
}

event_intake::counters event_intake::count() const {
  const std::lock_guard lock(mutex_);
  counters now = published_;
  // The reader may have a record before it is counted here.
  now.unread_bytes = static_cast<std::uint64_t>(
      std::max<std::int64_t>(0, unread_.load(std::memory_order_relaxed)));
  return now;
}

result<void> event_intake::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_one();
  if (thread_.joinable()) thread_.join();
  return log_->close();
}

// The intake's thread.

void event_intake::run() {
  while (true) {
    auto asked = wait_for_work();
    settle();
    if (!asked.empty()) judge(std::move(asked));
    settle();
    publish();
    const std::lock_guard lock(mutex_);
    if (stopping_ && waiting_.empty() && in_flight_.empty()) return;
  }
}

// Time goes on in the log while a window may be open and nobody is kept waiting: an event that was
// turned away, or waits for the disk, must not find its window closed by us. `mutex_` is held.
bool event_intake::may_tick() const {
  return idle_left_ms_ > 0 && !stopping_ && !draining_ && !failed_ && in_flight_.empty() &&
         waiting_.empty() && time_.steady_ns() >= turned_away_ns_ + calm_ns;
}

// Batches to judge; none when an outcome came, time went on, or it is to stop.
std::vector<event_intake::request> event_intake::wait_for_work() {
  std::vector<request> asked;
  std::unique_lock lock(mutex_);
  const auto may_take = [this] {
    return !waiting_.empty() && !draining_ && in_flight_.size() < groups_in_flight_max;
  };
  const auto ready = [&] {
    return may_take() || !outcomes_.empty() || (stopping_ && in_flight_.empty());
  };
  if (idle_left_ms_ == 0) {
    work_.wait(lock, ready);
  } else if (!work_.wait_until(
                 lock, last_record_ + std::chrono::milliseconds(how_.tick_ms), ready)) {
    last_record_ = std::chrono::steady_clock::now();
    const bool ticks = may_tick();
    lock.unlock();
    if (ticks) add_tick();
    return asked;
  }
  std::size_t bytes = 0;
  while (may_take() && asked.size() < group_batches_max && bytes < group_bytes_max) {
    bytes += waiting_.front().batch.size();
    asked.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  waiting_bytes_ -= bytes;
  return asked;
}

std::uint64_t event_intake::stamp() { return stamp_ms_ = std::max(stamp_ms_, time_.now_ms()); }

void event_intake::judge(std::vector<request> asked) {
  group next;
  const std::uint64_t now_ms = stamp();
  for (request& one : asked) {
    ++working_.batches;
    working_.bytes += one.batch.size();
    judged batch{std::move(one), {}, nullptr};
    if (auto refused = refuse(batch.asked, now_ms)) {
      answer(batch, std::move(*refused));
      continue;
    }
    gate_verdict verdict = gate_.judge(decoded_, now_ms);
    batch.ack = std::move(verdict.ack);
    if (!batch.asked.trusted) {
      const std::string_view why =
          batch.ack.refusals.empty() ? std::string_view() : batch.ack.refusals.back().detail;
      policy_.judged(decoded_.producer, decoded_.events.size(), batch.ack.refused, why, now_ms);
    }
    if (batch.ack.accepted > 0 || !decoded_.partition.empty()) {
      batch.record = std::make_shared<const logged_events>(
          logged_events{lsn{end_.value + 1}, now_ms, batch.asked.batch, verdict.left_out});
      end_ = batch.record->position;
      next.bytes += batch.record->bytes();
      last_record_ = std::chrono::steady_clock::now();
      if (batch.ack.accepted > 0) idle_left_ms_ = how_.idle_ms;
    }
    next.batches.push_back(std::move(batch));
  }
  if (!next.batches.empty()) append(std::move(next));
}

// Reads a batch; says why it is refused as a whole.
std::optional<schemas::event_ack> event_intake::refuse(const request& asked, std::uint64_t now_ms) {
  if (failed_) return refusal(errc::io_error, "the event log failed: restart this process");
  if (auto read = schemas::decode_event_batch(asked.batch, decoded_); !read) {
    ++working_.malformed;
    return refusal(read.error().code, read.error().detail);
  }
  if (asked.trusted) return std::nullopt;
  if (!decoded_.partition.empty() || decoded_.offset_end != 0)
    return refusal(errc::malformed, "partition, offsetEnd: what is pushed has none");
  auto admitted = policy_.admit(decoded_.producer, asked.token, asked.batch.size(), now_ms);
  if (admitted.status == errc::ok) return std::nullopt;
  return refusal(admitted.status, std::move(admitted.detail), admitted.retry_after_ms);
}

// Time went on and nothing came.
void event_intake::add_tick() {
  group next;
  judged tick;
  const std::uint64_t before_ms = stamp_ms_;
  tick.record = std::make_shared<const logged_events>(
      logged_events{lsn{end_.value + 1}, stamp(), frame(), frame()});
  end_ = tick.record->position;
  idle_left_ms_ -= std::min({idle_left_ms_, stamp_ms_ - before_ms, gap_ms_max});
  next.bytes = tick.record->bytes();
  next.batches.push_back(std::move(tick));
  append(std::move(next));
}

void event_intake::append(group next) {
  next.last = end_;
  std::vector<storage::log_record> records;
  for (const judged& batch : next.batches) {
    if (!batch.record) continue;
    storage::log_record record;
    record.lsn = batch.record->position;
    record.stamp_ms = batch.record->arrived_ms;
    record.kind = storage::record_kind::events;
    record.decisions = batch.record->left_out;
    record.payload = batch.record->batch;
    records.push_back(std::move(record));
  }
  in_flight_.push_back(std::move(next));
  const auto settled = [this](const storage::append_outcome& outcome) {
    {
      const std::lock_guard lock(mutex_);
      outcomes_.push_back(outcome);
    }
    work_.notify_one();
  };
  // Only answers, such as for duplicates of what is in flight: they wait for those before them.
  if (records.empty()) {
    in_flight_.back().outcome = storage::append_outcome{storage::append_state::committed, {}, {}};
    return;
  }
  const lsn expected{records.front().lsn.value - 1};
  log_->append(records, expected, settled);
}

void event_intake::settle() {
  while (!in_flight_.empty()) {
    group& oldest = in_flight_.front();
    if (!oldest.outcome) {
      const std::lock_guard lock(mutex_);
      if (outcomes_.empty()) return;
      oldest.outcome = std::move(outcomes_.front());
      outcomes_.pop_front();
    }
    if (!draining_ && oldest.outcome->state == storage::append_state::committed) {
      settle_committed(oldest);
    } else {
      settle_refused(oldest);
    }
    in_flight_.pop_front();
    if (draining_ && in_flight_.empty()) {
      gate_.roll_back();  // of what was judged before the refusal was known
      draining_ = false;
      end_ = log_->last().last;
    }
  }
}

void event_intake::settle_committed(group& done) {
  unread_.fetch_add(static_cast<std::int64_t>(done.bytes), std::memory_order_relaxed);
  for (judged& batch : done.batches) {
    if (batch.asked.done) gate_.commit();
    if (batch.record) tail_.put(std::move(batch.record));
    answer(batch, std::move(batch.ack));
  }
}

// Nothing of it counts, and nothing of what was judged behind it.
void event_intake::settle_refused(group& done) {
  const auto& outcome = *done.outcome;
  if (!std::exchange(draining_, true)) {
    gate_.roll_back();
    log_warn("events.refused", {{"error", outcome.detail}});
  }
  failed_ = failed_ || outcome.state == storage::append_state::unknown;
  const errc status = outcome.code == errc::ok ? errc::unavailable : outcome.code;
  for (judged& batch : done.batches) {
    ++working_.failed;
    answer(batch, refusal(status, "the event log: " + outcome.detail, failure_retry_ms));
  }
}

void event_intake::answer(judged& batch, schemas::event_ack ack) {
  if (batch.asked.done) std::exchange(batch.asked.done, nullptr)(std::move(ack));
  batch.asked.room.reset();
}

void event_intake::publish() {
  working_.events = gate_.count();
  working_.producers = policy_.count();
  const std::lock_guard lock(mutex_);
  working_.overloaded = published_.overloaded;
  published_ = working_;
}

}  // namespace headrace::worker
