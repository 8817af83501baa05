#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "schemas/sample.hpp"
#include "storage/ordered_log.hpp"
#include "worker/batch/batch_builder.hpp"
#include "worker/batch/batch_stream.hpp"
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
class sealed_stream final : public batch_stream {
 public:
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

  /// Fails: bad_input (too many bad rows), io_error, disk_full, unavailable.
  result<pumped> next() override;
  bool finished() const override { return last_sealed_ && sealed_ < next_; }
  std::uint64_t passes() const override {
    return parts_.pass == 0 ? 0 : records_added() / parts_.pass;
  }
  void go_on() override { gone_on_ = passes(); }
  /// Seals what is held and reads no more; of a live source, what it has now comes first.
  void finish_early() override;
  void on_more(const std::function<void()>& wake) override { parts_.source->on_more(wake); }
  /// Closes the sample log.
  result<void> close() override;
  bool live() const override { return parts_.source->live(); }
  refused_rows refused() const override;

  /// Batches in the sample log: the oldest kept (1 in an empty one) and the newest.
  batch_number oldest() const;
  batch_number sealed() const { return sealed_; }
  /// Visits the sample log from a batch on, as ordered_log::read_from does.
  result<void> read(batch_number from, const storage::ordered_log::visitor& visit) {
    return parts_.log->read_from(lsn{from.value}, visit);
  }
  const event_source& source() const { return *parts_.source; }

 private:
  /// A batch on its way into the log. Until the log says that it is there, the same bytes are
  /// offered.
  struct sealing {
    sample_batch_ptr batch;
    storage::log_record record;
  };

  result<pumped> next_logged();
  result<std::optional<schemas::sample_batch>> read_due();
  void read_ahead();
  result<void> seal();
  result<pumped> append_sealing();
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
  std::deque<pumped> logged_;  // read from the log, to be given out; the first is batch next_
};

}  // namespace headrace::worker
