#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/ids.hpp"
#include "base/result.hpp"
#include "ps/shard/push_rule.hpp"
#include "ps/table/table.hpp"
#include "schemas/control.hpp"
#include "schemas/hash.hpp"
#include "schemas/pull.hpp"
#include "schemas/push.hpp"
#include "schemas/schema.hpp"
#include "storage/ordered_log.hpp"
#include "storage/row_store.hpp"

namespace headrace::ps {

/// Bounds of one shard; each is refused with a named error, never exceeded.
struct shard_limits {
  std::uint32_t rows_per_push_max = 65'536;
  std::size_t section_bytes_max = std::size_t{64} << 20;
  std::uint64_t staleness_max = UINT64_MAX;  // versions between pull and push
  double norm_factor_max = 1e6;  // push norm against the source's running median; 0 = unchecked
  std::size_t in_flight_max = 64;  // admitted, not yet committed
};

/// Rows of every table whose key hashes to this shard: a deterministic state machine with one writer.
/// Same log, same bytes in the tables, on every build.
///
/// Life of a push: `decide` (gate and push rule; changes nothing but the admitted watermark) → the caller
/// appends the record → `commit` (applies in LSN order and gives the acknowledgement) or `roll_back`.
/// Never apply, serve or acknowledge before commit. `redo` is commit for a record read back.
/// Single-threaded: the shard actor owns it. No clock, disk or socket inside: time comes as `now_ms`.
class shard {
 public:
  shard(shard_id id, schemas::job_schema schema, shard_limits limits, headrace::epoch epoch);
  ~shard();

  shard_id id() const { return id_; }
  lsn applied() const { return applied_; }            // last record applied
  std::uint64_t version() const { return version_; }  // pushes applied
  lsn next_lsn() const;  // position the next accepted push will get

  /// What became of a push before it reached the log.
  struct decision {
    /// Set: append this record at next position, then `commit` or `roll_back`.
    std::optional<storage::log_record> record;
    /// Without record: the answer, to be sent once `wait_for` is committed (0: at once). A transient
    /// refusal leaves no trace; a permanent one comes as a void record instead.
    schemas::push_ack ack;
    lsn wait_for;
  };
  /// Gate in the order of design §4: size → epoch → schema version → push rule → tables, dims, keys
  /// ascending and on this shard → finite → norm. (Decoding is done: schemas/push.hpp.)
  decision decide(const schemas::push_section& section, std::uint64_t now_ms);

  /// Applies the admitted record at `at`, which must be the next one, and returns its acknowledgement.
  schemas::push_ack commit(lsn at);
  /// Forgets every admission from `from` on: their append was refused.
  void roll_back(lsn from);

  /// Applies a record read from the log (idempotent by row LSN). Fails: corrupt.
  result<void> redo(const storage::log_record& record);

  /// Rows at the newest applied version; never creates, touches or counts a row. Refusals come as
  /// the reply's status: stale_epoch, stale_schema, unknown_table, bad_keys, unavailable.
  frame pull(const schemas::pull_section& section) const;

  schemas::watermark_reply watermarks(const schemas::watermark_request& request) const;
  /// Order-free; covers key, weights, optimizer state and count, not LSN.
  schemas::digest_reply digest() const;

  /// Writes rows changed since the last flush, whole, and commits the position. Nothing may be in flight.
  result<lsn> flush(storage::row_store& store);
  /// Loads rows and position; the caller then redoes the log from position + 1. Only on a new shard.
  result<lsn> load(storage::row_store& store);

  /// Visits every row of a table: (key, count, weights and optimizer state). Order is not defined.
  void visit(table_id table,
             const std::function<void(row_key, std::uint32_t, std::span<const float>)>& see) const;

 private:
  struct pending;
  shard_id id_;
  schemas::job_schema schema_;
  shard_limits limits_;
  headrace::epoch epoch_;
  std::vector<table> tables_;
  push_rule rule_;
  std::deque<pending> in_flight_;
  lsn applied_;
  std::uint64_t version_ = 0;
  std::uint64_t stamp_ms_ = 0;
};

}  // namespace headrace::ps
