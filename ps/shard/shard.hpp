#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "ps/shard/gate.hpp"
#include "ps/shard/limits.hpp"
#include "ps/shard/push_rule.hpp"
#include "ps/table/table.hpp"
#include "schemas/control.hpp"
#include "schemas/pull.hpp"
#include "schemas/push.hpp"
#include "schemas/schema.hpp"
#include "storage/ordered_log.hpp"
#include "storage/row_store.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

namespace headrace::ps {

/// Rows of every table whose key hashes to this shard: a deterministic state machine with one
/// writer. Same log, same bytes in the tables, on every build.
///
/// Life of a push: `decide` (gate and push rule; changes nothing but the admitted watermark) → the
/// caller appends the record → `commit` (applies in LSN order and gives the acknowledgement) or
/// `roll_back`. Never apply, serve or acknowledge before commit. `redo` is commit for a record read
/// back. Single-threaded: the shard actor owns it. No clock, disk or socket inside: time comes as
/// `now_ms`. Arithmetic runs in the one float mode (kernels/runtime/float_mode.hpp), whatever the
/// thread's own is.
class shard {
 public:
  shard(shard_id id, schemas::job_schema schema, shard_limits limits, headrace::epoch epoch);
  ~shard();

  shard_id id() const { return id_; }
  headrace::epoch epoch() const { return epoch_; }
  lsn applied() const { return applied_; }            // last record applied
  std::uint64_t version() const { return version_; }  // pushes applied
  lsn next_lsn() const;                               // position the next accepted push will get
  /// Newest record that any loaded or updated row carries: above `applied` only between `load` and
  /// the redo of what was flushed behind the position.
  lsn newest_row() const { return newest_row_; }

  /// What became of a push before it reached the log.
  struct decision {
    /// Set: append this record at next position, then `commit` or `roll_back`.
    std::optional<storage::log_record> record;
    /// Without record: the answer, to be sent once `wait_for` is committed (0: at once). A
    /// transient refusal leaves no trace; a permanent one comes as a void record instead.
    schemas::push_ack ack;
    lsn wait_for;
  };
  /// Gate in the order of design §4: size → epoch → schema version → push rule → staleness,
  /// overload → tables, dims, keys ascending and on this shard → finite → norm. (Decoding is done:
  /// schemas/push.hpp.) The section's frame is held until commit; a section without one (built by
  /// hand) is encoded.
  decision decide(const schemas::push_section& section, std::uint64_t now_ms);

  /// Applies the admitted record at `at`, which must be the next one, and returns its
  /// acknowledgement.
  schemas::push_ack commit(lsn at);
  /// Forgets every admission from `from` on: their append was refused.
  void roll_back(lsn from);

  /// Applies a record read from the log (idempotent by row LSN). Fails: corrupt.
  result<void> redo(const storage::log_record& record);

  /// Rows at the newest applied version; never creates, touches or counts a row. Refusals come as
  /// the reply's status: stale_epoch, stale_schema, unknown_table, bad_keys, unavailable.
  frame pull(const schemas::pull_section& section) const;

  schemas::watermark_reply watermarks(const schemas::watermark_request& request) const;
  /// Order-free; covers key, weights, optimizer state and count, not LSN. `counts_only`: rows and
  /// memory, at once.
  schemas::digest_reply digest(bool counts_only = false) const;

  /// Writes rows changed since the last flush, whole, then commits the position: the state as of
  /// `applied`, whatever is in flight. After a failure the position is where it was and the next
  /// flush writes those rows again.
  result<lsn> flush(storage::row_store& store);
  /// Loads rows and position; the caller then redoes the log from position + 1. Only on a new
  /// shard. Fails: corrupt (a row of no table, of another width or of another shard, a position
  /// that cannot be read), io_error.
  result<lsn> load(storage::row_store& store);

  /// Visits every live row of a table: (key, count, [dim] weights and then optimizer state). Order
  /// is not defined.
  void visit(table_id table,
             const std::function<void(row_key, std::uint32_t, std::span<const float>)>& see) const;

 private:
  /// An admitted push, void or advance whose record is on its way to the log.
  struct pending {
    headrace::lsn lsn;
    std::uint64_t stamp_ms = 0;
    errc reason = errc::ok;  // of a void record
    std::string detail;
    double norm = 0.0;
    schemas::push_section section;  // without blocks unless it is to be applied; holds its frame
  };

  schemas::push_ack ack_of(const schemas::push_section& section) const;
  decision refuse(const schemas::push_section& section,
                  const error& why,
                  batch_number watermark) const;
  /// The transient refusals that come with an accepted place in the chain.
  result<void> check_ready(const schemas::push_section& section) const;
  decision admit(schemas::push_section section, std::uint64_t now_ms, double norm);
  decision admit_void(const schemas::push_section& section, std::uint64_t now_ms, const error& why);
  storage::log_record enter(pending entry, storage::record_kind kind, std::uint64_t now_ms);
  /// Everything a committed record changes.
  void apply(const schemas::push_section& section, lsn at, std::uint64_t stamp_ms);
  result<void> check_record(const storage::log_record& record) const;
  frame refuse_pull(const error& why) const;
  result<std::vector<schemas::pulled_block_layout>> lay_out(
      const schemas::pull_section& section) const;

  shard_id id_;
  schemas::job_schema schema_;
  shard_limits limits_;
  headrace::epoch epoch_;
  gate gate_;
  std::vector<table> tables_;
  push_rule rule_;
  std::deque<pending> in_flight_;
  lsn applied_;
  lsn flushed_;
  lsn newest_row_;
  std::uint64_t version_ = 0;
  std::uint64_t stamp_ms_ = 0;
};

}  // namespace headrace::ps
