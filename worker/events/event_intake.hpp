#pragma once

#include "base/clock.hpp"
#include "base/frame.hpp"
#include "base/result.hpp"
#include "schemas/event.hpp"
#include "storage/ordered_log.hpp"
#include "worker/events/event_gate.hpp"
#include "worker/events/event_tail.hpp"
#include "worker/events/producer_policy.hpp"
#include "worker/events/stream_cut.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace headrace::worker {

/// Takes batches of events from every front (HTTP, ZeroMQ, brokers), judges them, appends them to
/// the event log, and answers when the log has them with its mode's durability: never before.
///
/// Fronts call `offer` from any thread; one thread of its own asks the producer policy, judges and
/// appends, several batches in one write, so batches of one front stay in order. Bounded: what
/// waits (`bytes_waiting_max`) and what was logged but not read (`bytes_unread_max`); beyond either
/// a batch is answered `overloaded`. When the log refuses (a full disk), what was judged behind it
/// is forgotten and answered the same; it accepts again as soon as the log does. A batch that there
/// is no memory for is told to come again. After an append of unknown outcome, or an exception that
/// leaves more than a batch in doubt, it is broken: everything is answered `io_error`, and a
/// restart reads what the log holds.
class event_intake {
 public:
  using on_ack = std::function<void(schemas::event_ack)>;
  struct request {
    frame batch;  // an EventBatch, not yet decoded
    on_ack done;  // once, on the intake's thread or the caller's: must only hand over
    std::shared_ptr<const void> room = nullptr;  // let go of when `done` was called
    std::string token = {};                      // of the producer
    bool trusted = false;  // fetched by ourselves: needs no token and has no rate
  };
  struct settings {
    event_gate::settings gate = {};
    producer_policy::settings producers = {};
    std::size_t bytes_waiting_max = std::size_t{64} << 20;
    std::uint64_t bytes_unread_max = std::uint64_t{1} << 30;
    std::size_t tail_bytes_max = std::size_t{64} << 20;
    std::uint32_t retry_after_ms = 100;
    /// While no events come, an empty record each `tick_ms` says so, until this long after the last
    /// event: what a join needs to close its windows. 0 = none. None while batches wait or were
    /// turned away.
    std::uint64_t idle_ms = 0;
    std::uint64_t tick_ms = 100;
  };
  /// How far the log was read in earlier runs.
  struct read_state {
    lsn through;  // 0: nothing
    partition_ends partitions = {};
    std::uint64_t stamp_ms = 0;  // of that record: none gets an earlier one
  };
  /// Reads the log's end: where each partition goes on, and the newest ids. Fails: corrupt,
  /// io_error.
  static result<std::unique_ptr<event_intake>> open(std::unique_ptr<storage::ordered_log> log,
                                                    event_schema schema,
                                                    const settings& how,
                                                    const read_state& read,
                                                    const clock& time);
  ~event_intake();

  /// Any thread; never blocks.
  void offer(request batch);
  /// The same for one of several that come together: nobody looks at what waits before `wake`.
  void put(request batch);
  void wake() { work_.notify_one(); }

  /// Where each partition of a broker went on when this was opened, by what the log holds.
  const partition_ends& partitions() const { return partitions_; }
  storage::ordered_log& log() { return *log_; }
  event_tail& tail() { return tail_; }
  /// The reader took a record of so many bytes. Any thread.
  void was_read(std::uint64_t bytes) {
    unread_.fetch_sub(static_cast<std::int64_t>(bytes), std::memory_order_relaxed);
  }

  /// Why nothing is taken any more; nothing while it goes on. Any thread.
  std::optional<error> broken() const;
  struct refusal {
    error why;
    std::uint64_t at_ns = 0;  // of the clock's steady time: the newest
  };
  /// What the log said when it last refused a batch (a full disk); nothing once it took one. Any
  /// thread.
  std::optional<refusal> refused() const;
  /// `tell` is called once when it breaks, or at once where it is broken; on the intake's thread or
  /// the caller's: must only hand over. Empty to end that.
  void on_broken(std::function<void(const error&)> tell);

  struct counters {
    std::uint64_t batches = 0;     // taken
    std::uint64_t bytes = 0;       // of them
    std::uint64_t malformed = 0;   // batches that could not be read
    std::uint64_t overloaded = 0;  // batches told to come again
    std::uint64_t failed = 0;      // batches the log refused, or there was no memory for
    std::uint64_t unread_bytes = 0;
    event_gate::counters events;
    producer_policy::counters producers;
  };
  counters count() const;

  /// Commits what was offered, ends its thread, closes the log. Idempotent.
  result<void> stop();

 private:
  /// A batch that was judged; `record` is empty where nothing of it goes into the log.
  struct judged {
    request asked;
    schemas::event_ack ack;
    logged_events_ptr record;
  };
  struct group {
    std::vector<judged> batches;
    std::uint64_t bytes = 0;
    std::uint64_t idle_ms = 0;  // of a tick: what it took from idle_left_ms_
    std::optional<storage::append_outcome> outcome;
  };
  event_intake(std::unique_ptr<storage::ordered_log> log,
               event_gate gate,
               const settings& how,
               const clock& time);
  result<void> recall(const read_state& read);
  result<void> recall_piece(lsn begin, lsn end, lsn read_through);
  bool take_in(request& batch);
  std::optional<schemas::event_ack> turn_away(request& batch);
  void run();
  bool step();
  bool may_tick() const;
  bool wait_for_work();
  void judge();
  void judge_one(judged& batch, std::uint64_t now_ms);
  void tell_policy(const judged& batch, std::uint64_t now_ms);
  std::optional<schemas::event_ack> refuse(const request& asked, std::uint64_t now_ms);
  void add_tick();
  void append();
  void settle();
  void settle_committed(group& done);
  void settle_refused(group& done);
  void note_refusal(std::optional<refusal> now);
  static void answer(request& asked, schemas::event_ack ack);
  void break_down(error why);
  void publish();
  std::uint64_t stamp();

  const std::unique_ptr<storage::ordered_log> log_;
  const settings how_;
  const clock& time_;
  event_tail tail_;
  partition_ends partitions_;
  std::atomic<std::int64_t> unread_{0};  // guards nothing: relaxed

  // The thread's own.
  event_gate gate_;
  schemas::event_batch decoded_;
  std::deque<request> taken_;  // to be judged
  std::deque<group> in_flight_;
  lsn end_;                                            // of what was appended, in flight included
  std::uint64_t stamp_ms_ = 0;                         // newest
  std::uint64_t idle_left_ms_ = 0;                     // of the log's time, until ticks end
  std::chrono::steady_clock::time_point last_record_;  // or the last look whether to tick
  bool draining_ = false;  // a group was refused: those behind it are, too
  bool refused_ = false;   // the last group was: it is told once
  producer_policy policy_;
  counters working_;

  mutable std::mutex mutex_;  // guards what follows; never held during I/O or `done`
  std::condition_variable work_;
  std::deque<request> waiting_;
  std::size_t waiting_bytes_ = 0;
  std::deque<storage::append_outcome> outcomes_;  // of in_flight_, in order
  counters published_;
  std::uint64_t turned_away_ns_ = 0;  // when a batch was last told to come again
  std::optional<error> broken_;
  std::optional<refusal> refusal_;
  std::function<void(const error&)> tell_broken_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace headrace::worker
