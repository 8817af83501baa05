#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "schemas/sample.hpp"
#include "storage/ordered_log.hpp"
#include "worker/batch/batch_builder.hpp"
#include "worker/batch/history_mix.hpp"
#include "worker/batch/pacer.hpp"
#include "worker/batch/sample_retention.hpp"
#include "worker/ingest/event_source.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>

namespace headrace::worker {

using sample_batch_ptr = std::shared_ptr<const schemas::sample_batch>;

/// From a source to sealed batches in the sample log: reads events when they are due, seals them,
/// appends each batch, and only then gives it out. After a restart it first gives out the logged
/// batches the shards have not all seen, then goes on with the source where the last sealed batch
/// ended, so that a batch never has two contents.
///
/// A batch is marked `last` when the source has no event behind it (one event is read ahead to
/// know); a live source has no last one. A stream that is finished early has no last batch, and can
/// go on later. With `pass` it
/// halts after each so many records that others follow, seals what it holds, and goes on when it is
/// told to. One thread (the ingest actor's); `next` may block on the disk.
class sealed_stream {
 public:
  static constexpr std::uint64_t never = UINT64_MAX;  // a live source wakes whoever waits

  struct parts {
    std::unique_ptr<event_source> source;
    std::unique_ptr<storage::ordered_log> log;
    batch_builder builder;
    std::optional<pacer> pace;  // none: as fast as it is read
    std::uint64_t pass = 0;     // records of a pass of a source without bad rows; 0 = no halts
    /// Of the sample log; none: all of it is kept.
    std::optional<sample_retention> retention = std::nullopt;
    /// Of older batches, mixed in as each is sealed; none: batches have fresh samples only.
    std::optional<history_mix> history = std::nullopt;
  };
  sealed_stream(parts built, const clock& time);

  /// Positions at the first batch to train. Fails: corrupt, io_error, bad_input.
  result<void> open(batch_number first);

  struct pumped {
    sample_batch_ptr batch;     // null: nothing ready
    std::uint64_t wake_ns = 0;  // when to ask again if nothing is ready; steady clock, or never
    bool finished = false;      // every batch was given out
    bool halted = false;        // every batch of the passes so far was given out
  };
  /// The next batch. Fails: bad_input (too many bad rows), io_error, disk_full (ask again later:
  /// nothing is lost).
  result<pumped> next();
  /// After `open`: the source's last batch was sealed and given out, in this run or an earlier one.
  bool finished() const { return last_sealed_ && sealed_ < next_; }
  /// Passes whose records were all sealed.
  std::uint64_t passes() const { return parts_.pass == 0 ? 0 : records_added() / parts_.pass; }
  /// After a halt: on with the next pass.
  void go_on() { gone_on_ = passes(); }
  /// Seals what is held and reads no more; of a live source, what it has now comes first.
  void finish_early();
  /// See event_source::on_more.
  void on_more(const std::function<void()>& wake) { parts_.source->on_more(wake); }
  /// Closes the sample log.
  result<void> close();

  /// Batches in the sample log.
  batch_number sealed() const { return sealed_; }
  const event_source& source() const { return *parts_.source; }

 private:
  /// A batch on its way into the log. Until the log says that it is there, the same bytes are
  /// offered.
  struct sealing {
    sample_batch_ptr batch;
    storage::log_record record;
  };

  result<sample_batch_ptr> next_logged();
  result<std::optional<schemas::sample_batch>> read_due();
  void read_ahead();
  result<void> seal();
  result<sample_batch_ptr> append_sealing();
  void retain(const storage::log_record& sealed);
  std::uint64_t records_added() const { return parts_.source->position() - (event_waits_ ? 1 : 0); }
  bool at_halt() const;
  std::uint64_t event_due_ns() const;
  std::uint64_t wake_ns() const;

  parts parts_;
  const clock& time_;
  event event_;
  bool event_waits_ = false;  // event_ was read but is in no batch yet
  std::uint64_t started_ns_ = 0;
  std::uint64_t first_position_ = 0;  // records consumed before this run, for the pace
  batch_number next_;
  batch_number sealed_;
  bool source_ended_ = false;
  std::optional<error> source_failure_;  // told once what was read before it is sealed
  std::uint64_t gone_on_ = 0;            // the passes that were there then
  bool stopping_ = false;
  bool last_sealed_ = false;
  std::optional<schemas::sample_batch> built_;  // to be sealed
  std::optional<sealing> sealing_;
  std::deque<sample_batch_ptr>
      logged_;  // read from the log, to be given out; the first is batch next_
};

}  // namespace headrace::worker
