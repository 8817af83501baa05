#include "worker/events/event_intake.hpp"

#include "base/check.hpp"
#include "base/log.hpp"
#include "schemas/refusing.hpp"
#include "worker/events/event_reader.hpp"

#include <algorithm>
#include <chrono>
#include <exception>
#include <pthread.h>
#include <utility>

namespace headrace::worker {
namespace {

using schemas::refusing;

constexpr std::size_t groups_in_flight_max = 16;
constexpr std::size_t group_batches_max = 256;
constexpr std::size_t group_bytes_max = std::size_t{4} << 20;
constexpr std::uint32_t failure_retry_ms = 1'000;
constexpr std::uint64_t calm_ns = 5'000'000'000;  // after a batch was turned away
constexpr std::uint64_t piece_records = 4'096;    // of the log, read at a time when it is opened
constexpr std::uint64_t gap_ms_max = 1'000;       // as live_source counts a time without a record

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

// From the newest record back, a piece at a time, each record once: as far as the cut, and as the
// ids to remember lie; how far that is nobody knows.
result<void> event_intake::recall(const read_state& read) {
  const auto kept = log_->last();
  end_ = kept.last;
  stamp_ms_ = read.stamp_ms;
  bool needs_ids = kept.first.value > 0;
  std::uint64_t begin = end_.value + 1;
  while (begin > kept.first.value && (needs_ids || begin > read.through.value + 1)) {
    const std::uint64_t end = begin;
    begin = std::max(kept.first.value, end - std::min(end, piece_records));
    if (auto recalled = recall_piece(lsn{begin}, lsn{end}, read.through); !recalled)
      return recalled;
    needs_ids = gate_.end_piece() && needs_ids;
  }
  partitions_.insert(read.partitions.begin(), read.partitions.end());
  if (end_.value > 0) idle_left_ms_ = how_.idle_ms;  // windows may be open: their time goes on
  return {};
}

// Records of [begin, end); those behind it are known.
result<void> event_intake::recall_piece(lsn begin, lsn end, lsn read_through) {
  partition_ends ends;
  auto read = for_each_record(*log_, begin, [&](const logged_events& record) -> result<bool> {
    if (record.position >= end) return false;
    stamp_ms_ = std::max(stamp_ms_, record.arrived_ms);
    const bool is_read = record.position <= read_through;
    if (!is_read)
      unread_.fetch_add(static_cast<std::int64_t>(record.bytes()), std::memory_order_relaxed);
    if (record.batch.empty()) return true;
    if (auto batch = schemas::decode_event_batch(record.batch, decoded_); !batch)
      return not_events(record, batch.error());
    gate_.remember(decoded_, record.left_out);
    if (!is_read && !decoded_.partition.empty())
      ends[std::string(decoded_.partition)] = decoded_.offset_end;
    return true;
  });
  partitions_.merge(std::move(ends));  // newer ones stay
  return read;
}

// Any thread.

void event_intake::offer(request batch) {
  if (take_in(batch)) wake();
}

void event_intake::put(request batch) { static_cast<void>(take_in(batch)); }

// False where it was answered at once.
bool event_intake::take_in(request& batch) {
  CHECK(batch.done != nullptr);
  auto refused = turn_away(batch);
  if (refused) batch.done(std::move(*refused));
  return !refused;
}

// Puts the batch in line, or says why not.
std::optional<schemas::event_ack> event_intake::turn_away(request& batch) {
  const std::lock_guard lock(mutex_);
  if (broken_) return refusing(*broken_, failure_retry_ms);
  if (stopping_) return refusing({errc::unavailable, "shutting down"}, failure_retry_ms);
  const std::size_t bytes = batch.batch.size();
  const bool full = waiting_bytes_ + bytes > how_.bytes_waiting_max && !waiting_.empty();
  const std::int64_t behind = unread_.load(std::memory_order_relaxed);
  if (full || (behind > 0 && static_cast<std::uint64_t>(behind) > how_.bytes_unread_max)) {
    ++published_.overloaded;
    turned_away_ns_ = time_.steady_ns();
    return refusing(
        {errc::overloaded, full ? "too much waits for the log" : "training is too far behind"},
        how_.retry_after_ms);
  }
  waiting_bytes_ += bytes;
  waiting_.push_back(std::move(batch));
  return std::nullopt;
}

std::optional<error> event_intake::broken() const {
  const std::lock_guard lock(mutex_);
  return broken_;
}

std::optional<event_intake::refusal> event_intake::refused() const {
  const std::lock_guard lock(mutex_);
  return refusal_;
}

void event_intake::note_refusal(std::optional<refusal> now) {
  const std::lock_guard lock(mutex_);
  refusal_ = std::move(now);
}

void event_intake::on_broken(std::function<void(const error&)> tell) {
  std::optional<error> already;
  {
    const std::lock_guard lock(mutex_);
    already = broken_;
    if (!already) return tell_broken_.swap(tell);
  }
  if (tell) tell(*already);
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
  try {
    while (step()) continue;
  } catch (const std::exception& thrown) {
    break_down({errc::io_error, std::string("the event intake: ") + thrown.what()});
  }
}

bool event_intake::step() {
  const bool judges = wait_for_work();
  settle();
  if (judges) judge();
  settle();
  publish();
  const std::lock_guard lock(mutex_);
  return !broken_ && !(stopping_ && waiting_.empty() && in_flight_.empty());
}

// Time goes on in the log while a window may be open and nobody is kept waiting: an event that was
// turned away, or waits for the disk, must not find its window closed by us. `mutex_` is held.
bool event_intake::may_tick() const {
  return idle_left_ms_ > 0 && !stopping_ && !draining_ && in_flight_.empty() && waiting_.empty() &&
         time_.steady_ns() >= turned_away_ns_ + calm_ns;
}

// Takes batches to judge; none when an outcome came, time went on, or it is to stop.
bool event_intake::wait_for_work() {
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
    return false;
  }
  std::size_t bytes = 0;
  while (may_take() && taken_.size() < group_batches_max && bytes < group_bytes_max) {
    const std::size_t size = waiting_.front().batch.size();
    taken_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    waiting_bytes_ -= size;
    bytes += size;
  }
  return !taken_.empty();
}

std::uint64_t event_intake::stamp() { return stamp_ms_ = std::max(stamp_ms_, time_.now_ms()); }

void event_intake::judge() {
  const std::uint64_t now_ms = stamp();
  group& next = in_flight_.emplace_back();
  next.batches.reserve(taken_.size());
  for (; !taken_.empty(); taken_.pop_front()) {
    ++working_.batches;
    working_.bytes += taken_.front().batch.size();
    judged batch{std::move(taken_.front()), {}, nullptr};
    const lsn before = end_;
    try {
      if (auto refused = refuse(batch.asked, now_ms)) {
        answer(batch.asked, std::move(*refused));
        continue;
      }
      judge_one(batch, now_ms);
    } catch (const std::exception& thrown) {
      CHECK(end_ == before);
      ++working_.failed;
      const std::string why = std::string("no room for this batch: ") + thrown.what();
      answer(batch.asked, refusing({errc::overloaded, why}, failure_retry_ms));
      continue;
    }
    next.batches.push_back(std::move(batch));
    tell_policy(next.batches.back(), now_ms);
  }
  if (next.batches.empty()) return in_flight_.pop_back();
  append();
}

// Where it throws, nothing happened.
void event_intake::judge_one(judged& batch, std::uint64_t now_ms) {
  auto record = std::make_shared<logged_events>();
  gate_verdict verdict = gate_.judge(decoded_, now_ms);
  batch.ack = std::move(verdict.ack);
  if (batch.ack.accepted == 0 && decoded_.partition.empty()) return;
  end_ = lsn{end_.value + 1};
  *record = {end_, now_ms, batch.asked.batch, std::move(verdict.left_out)};
  batch.record = std::move(record);
  in_flight_.back().bytes += batch.record->bytes();
  last_record_ = std::chrono::steady_clock::now();
  if (batch.ack.accepted > 0) idle_left_ms_ = how_.idle_ms;
}

void event_intake::tell_policy(const judged& batch, std::uint64_t now_ms) {
  if (batch.asked.trusted) return;
  const std::string_view why =
      batch.ack.refusals.empty() ? std::string_view() : batch.ack.refusals.back().detail;
  policy_.judged(decoded_.producer, decoded_.events.size(), batch.ack.refused, why, now_ms);
}

// Reads a batch; says why it is refused as a whole.
std::optional<schemas::event_ack> event_intake::refuse(const request& asked, std::uint64_t now_ms) {
  if (auto read = schemas::decode_event_batch(asked.batch, decoded_); !read) {
    ++working_.malformed;
    return refusing(read.error());
  }
  if (asked.trusted) return std::nullopt;
  if (!decoded_.partition.empty() || decoded_.offset_end != 0)
    return refusing({errc::malformed, "partition, offsetEnd: what is pushed has none"});
  auto admitted = policy_.admit(decoded_.producer, asked.token, asked.batch.size(), now_ms);
  if (admitted.status == errc::ok) return std::nullopt;
  return refusing({admitted.status, std::move(admitted.detail)}, admitted.retry_after_ms);
}

// Time went on and nothing came.
void event_intake::add_tick() {
  group& next = in_flight_.emplace_back();
  judged tick;
  const std::uint64_t before_ms = stamp_ms_;
  tick.record = std::make_shared<const logged_events>(
      logged_events{lsn{end_.value + 1}, stamp(), frame(), frame()});
  end_ = tick.record->position;
  next.idle_ms = std::min({idle_left_ms_, stamp_ms_ - before_ms, gap_ms_max});
  idle_left_ms_ -= next.idle_ms;
  next.bytes = tick.record->bytes();
  next.batches.push_back(std::move(tick));
  append();
}

// The newest group.
void event_intake::append() {
  std::vector<storage::log_record> records;
  for (const judged& batch : in_flight_.back().batches) {
    if (!batch.record) continue;
    storage::log_record record;
    record.lsn = batch.record->position;
    record.stamp_ms = batch.record->arrived_ms;
    record.kind = storage::record_kind::events;
    record.decisions = batch.record->left_out;
    record.payload = batch.record->batch;
    records.push_back(std::move(record));
  }
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
  // Of a group without records the log knows nothing.
  if (done.bytes > 0 && std::exchange(refused_, false)) {
    log_info("events.taken_again");
    note_refusal(std::nullopt);
  }
  unread_.fetch_add(static_cast<std::int64_t>(done.bytes), std::memory_order_relaxed);
  for (judged& batch : done.batches) {
    if (batch.asked.done) gate_.commit();
    if (batch.record) tail_.put(std::move(batch.record));
    answer(batch.asked, std::move(batch.ack));
  }
}

// Nothing of it counts, and nothing of what was judged behind it: a group without records, though
// `committed`, is refused for the reason of the one in front of it.
void event_intake::settle_refused(group& done) {
  const auto& outcome = *done.outcome;
  if (!std::exchange(draining_, true)) gate_.roll_back();
  if (!std::exchange(refused_, true)) log_warn("events.refused", {{"error", outcome.detail}});
  idle_left_ms_ += done.idle_ms;
  if (outcome.state == storage::append_state::unknown) {
    return break_down(
        {errc::io_error, "the event log failed: " + outcome.detail + "; restart this process"});
  }
  if (outcome.state == storage::append_state::refused) {
    const errc status = outcome.code == errc::ok ? errc::unavailable : outcome.code;
    note_refusal(refusal{{status, "the event log: " + outcome.detail}, time_.steady_ns()});
  }
  const auto last = refused();
  if (!last) return;  // behind one that broke everything down: all were answered
  for (judged& batch : done.batches) {
    if (!batch.asked.done) continue;  // a tick
    ++working_.failed;
    answer(batch.asked, refusing(last->why, failure_retry_ms));
  }
}

void event_intake::answer(request& asked, schemas::event_ack ack) {
  if (asked.done) std::exchange(asked.done, nullptr)(std::move(ack));
  asked.room.reset();
}

// Nothing more is judged or logged. What is in flight may be in the log or not: its producers send
// it again, and the ids say so.
void event_intake::break_down(error why) {
  std::function<void(const error&)> tell;
  std::deque<request> waiting;
  {
    const std::lock_guard lock(mutex_);
    if (!broken_) broken_ = why;
    tell = std::exchange(tell_broken_, nullptr);
    waiting = std::exchange(waiting_, {});
    waiting_bytes_ = 0;
  }
  log_error("events.broken", {{"error", why.detail}});
  const auto refuse_one = [&](request& one) {
    working_.failed += one.done ? 1 : 0;
    answer(one, refusing(why, failure_retry_ms));
  };
  for (group& one : in_flight_) {
    for (judged& batch : one.batches) refuse_one(batch.asked);
  }
  for (request& one : taken_) refuse_one(one);
  for (request& one : waiting) refuse_one(one);
  publish();
  if (tell) tell(why);
}

void event_intake::publish() {
  working_.events = gate_.count();
  working_.producers = policy_.count();
  const std::lock_guard lock(mutex_);
  working_.overloaded = published_.overloaded;
  published_ = working_;
}

}  // namespace headrace::worker
