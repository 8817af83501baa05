#pragma once

#include "base/result.hpp"
#include "worker/ingest/bad_rows.hpp"
#include "worker/ingest/source_spec.hpp"
#include "worker/windows/window_input.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

namespace headrace::worker {

/// One labelled event, its features already row keys and values. Buffers are reused from event to
/// event.
struct event {
  float label = 0.0F;                  // 0 or 1
  std::vector<std::uint64_t> keys;     // [features] that have one, in the order of the job file
  std::vector<float> values;           // [features], or empty when all are 1
  std::vector<float> more_labels;      // behind the first, 0 or 1
  std::vector<std::uint16_t> lengths;  // [sequences] of each list
  std::vector<std::uint64_t> sequence_keys;  // list after list, oldest first
  std::uint64_t event_time_ms = 0;           // since 1970-01-01 UTC; 0: the source has no time
  std::uint64_t row_number = 0;              // record number in the source, from 0
  std::uint64_t arrived_ms = 0;              // when it was accepted; 0: when it is read
  // [windows] while they are not in the keys, values and lists (worker/ingest/window_features.hpp).
  std::vector<window_input> windows;
};

/// What a stream without an end says of its number of records.
constexpr std::uint64_t endless_records = std::uint64_t{1} << 62;

/// A stream of events that can be read again from any record: a file, a generated stream, or what a
/// live stream left in the event log.
///
/// A *record* is what the source counts: a row of the file (bad rows included; with `sort_by_time`
/// only the good ones, in time order). Reading the same source again gives the same records, so a
/// position is enough to go on after a restart. Single-threaded: the ingest actor owns it; calls
/// may block on the disk.
class event_source {
 public:
  virtual ~event_source() = default;

  /// Reads the next event; false at the end, or when a live source has none yet. Fails: bad_input
  /// (more than `bad_rows_max` bad rows, a damaged compressed file), io_error, corrupt.
  virtual result<bool> next(event& into) = 0;
  /// Consumes records until `position() == through`, without making events of them; their bad rows
  /// are counted again, so that a run in two parts reports the same. Fails: as `next`; bad_input
  /// when the source is shorter.
  virtual result<void> skip(std::uint64_t through) = 0;
  /// Records consumed.
  virtual std::uint64_t position() const = 0;
  /// All records there are, for the pace and the frozen twin; a delimited file is read once more
  /// for it. Fails: io_error, bad_input.
  virtual result<std::uint64_t> count_records() const = 0;
  /// What could not be read so far, and why.
  virtual const bad_rows& bad() const = 0;
  /// Keys of each event.
  virtual std::size_t features() const = 0;

  /// More may come behind the last event: false from `next` is no end.
  virtual bool live() const { return false; }
  /// Of a live source: `wake` is called, on any thread, whenever there may be more. Empty ends
  /// that.
  virtual void on_more(const std::function<void()>& wake) { static_cast<void>(wake); }
  /// The records through this position are in the sample log: they are never asked for again.
  virtual result<void> sealed(std::uint64_t through) {
    static_cast<void>(through);
    return {};
  }
};

/// Opens the source that `spec` describes. Fails: not_found (no such file), io_error, bad_config (a
/// column that is not there, an unknown time format letter, a source of live events), bad_input (an
/// empty file where a header should be).
result<std::unique_ptr<event_source>> make_source(const source_spec& spec);

}  // namespace headrace::worker
