#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

/// The one interface of every log: update log of a shard, sample log of a source. Engines: local
/// segments (storage/segment_log.hpp), memory (storage/memory_log.hpp), a broker's messages
/// (storage/engines/message_log.hpp).
namespace headrace::storage {

enum class record_kind : std::uint16_t {
  push = 1,     // payload: the push section as received
  advance = 2,  // payload: a push section without blocks
  voided = 3,   // payload: the refused section's header as an advance; `reason` says why
  config = 4,   // reserved: a change of what apply depends on
  epoch = 5,    // reserved: a change of ownership
  sample = 6,   // payload: a sealed sample batch
  removal = 7,  // payload: keys of rows that go (ps/shard/decisions.hpp)
  install = 8,  // payload: what rows were put in place (ps/recovery/install.hpp); never redone
  events = 9,   // payload: a batch of events as it came; decisions: which are left out
};

/// The server header of a record, and the bytes behind it. Layout to the byte:
/// docs/storage-format.md. `decisions` are what the owner decided once before append and redo must
/// obey; empty means that every row of the push is admitted.
struct log_record {
  headrace::lsn lsn;
  headrace::epoch epoch{1};
  std::uint64_t stamp_ms = 0;  // owner's clock, never decreasing, the only clock of apply
  std::uint32_t schema_version = 1;
  record_kind kind = record_kind::push;
  errc reason = errc::ok;  // for `voided`
  frame decisions;
  frame payload;  // 8-byte aligned, so a section decodes in place
};

enum class append_state : std::uint8_t {
  committed,  // durable as the engine's mode promises
  refused,    // certainly not in the log: `expected` did not match, or the log is closed or full
  unknown,    // may or may not be there: send the same bytes again at the same position, or stop
};

struct append_outcome {
  append_state state = append_state::unknown;
  errc code = errc::ok;  // for refused and unknown: disk_full, io_error, in_use …
  std::string detail;
};

/// An append-only sequence of records at positions 1, 2, 3 … with one writer.
///
/// Thread: the owner calls everything from one thread. `done` runs exactly once for each append, in
/// order, either inside `append` or later on the engine's own thread: it must only hand over.
class ordered_log {
 public:
  using on_outcome = std::function<void(const append_outcome&)>;
  /// Returns false to stop reading.
  using visitor = std::function<bool(const log_record&)>;

  virtual ~ordered_log() = default;

  /// Appends `group` (contiguous lsns) whose first record must follow `expected`, the last position
  /// the caller knows of (appends still in flight included). Pipelined: may be called again before
  /// `done` ran; after one refusal or unknown every later append in flight gets `refused`.
  virtual void append(std::span<const log_record> group, lsn expected, on_outcome done) = 0;

  /// Visits committed records from `from` (or the oldest kept) in order. Fails: corrupt (file,
  /// offset and the way out named), io_error.
  virtual result<void> read_from(lsn from, const visitor& visit) = 0;

  /// Forgets whole segments below `keep_from`. What is kept may begin earlier.
  virtual result<void> truncate_before(lsn keep_from) = 0;

  /// Oldest kept and newest committed position; 0 and 0 when empty.
  struct extent {
    lsn first;
    lsn last;
  };
  virtual extent last() const = 0;

  /// Commits what is buffered, then releases files and threads. Idempotent.
  virtual result<void> close() = 0;
};

}  // namespace headrace::storage
