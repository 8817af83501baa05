#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "schemas/sample.hpp"
#include "storage/ordered_log.hpp"
#include "worker/batch/batch_builder.hpp"
#include "worker/batch/pacer.hpp"
#include "worker/ingest/event_source.hpp"

namespace headrace::worker {

using sample_batch_ptr = std::shared_ptr<const schemas::sample_batch>;

/// From a source to sealed batches in the sample log: reads events when they are due, seals them, appends each
/// batch, and only then gives it out. After a restart it first gives out the logged batches the
/// shards have not all seen, then goes on with the source where the last sealed batch ended, so
/// that a batch never has two contents.
///
/// One thread (the ingest actor's); `next` may block on the disk.
class sealed_stream {
 public:
  struct parts {
    std::unique_ptr<event_source> source;
    std::unique_ptr<storage::ordered_log> log;
    batch_builder builder;
    std::optional<pacer> pace;  // none: as fast as it is read
  };
  sealed_stream(parts built, const clock& time);

  /// Positions at the first batch to train. Fails: corrupt, io_error, bad_input.
  result<void> open(batch_number first);

  struct pumped {
    sample_batch_ptr batch;       // null: nothing ready
    std::uint64_t wake_ns = 0;    // when to ask again if nothing is ready; steady clock
    bool finished = false;        // every batch was given out
  };
  /// The next batch. Fails: bad_input (too many bad rows), io_error, disk_full (ask again later: nothing is lost).
  result<pumped> next();
  /// Seals what is held and reads no more.
  void finish_early();
  /// Forgets logged batches below `through`: every shard has them.
  result<void> release(batch_number through);
  /// Closes the sample log.
  result<void> close();

  /// Batches in the sample log.
  batch_number sealed() const { return sealed_; }
  const event_source& source() const { return *parts_.source; }

 private:
  result<sample_batch_ptr> seal(schemas::sample_batch batch);
  result<std::optional<schemas::sample_batch>> read_due();
  std::uint64_t due_ns() const;

  parts parts_;
  const clock& time_;
  event event_;
  bool event_waits_ = false;  // event_ was read but is not due yet
  std::uint64_t started_ns_ = 0;
  std::uint64_t first_position_ = 0;  // events consumed before this run, for the pace
  batch_number next_;
  batch_number sealed_;
  bool source_ended_ = false;
  bool stopping_ = false;
  bool last_sealed_ = false;
  std::optional<schemas::sample_batch> unsealed_;  // its append was refused: tried again with the same bytes
};

}  // namespace headrace::worker
