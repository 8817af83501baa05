#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "ps/shard/accepted_stamps.hpp"
#include "ps/shard/admission.hpp"
#include "ps/shard/decisions.hpp"
#include "ps/shard/gate.hpp"
#include "ps/shard/limits.hpp"
#include "ps/shard/position_state.hpp"
#include "ps/shard/push_rule.hpp"
#include "ps/shard/working_set.hpp"
#include "ps/shard/write_back.hpp"
#include "ps/table/table.hpp"
#include "ps/table/table_digest.hpp"
#include "schemas/control.hpp"
#include "schemas/pull.hpp"
#include "schemas/push.hpp"
#include "schemas/schema.hpp"
#include "storage/ordered_log.hpp"
#include "storage/row_store.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_set>
#include <vector>

namespace headrace::ps {

class change_index;

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
  const schemas::job_schema& schema() const { return schema_; }
  headrace::epoch epoch() const { return epoch_; }
  lsn applied() const { return applied_; }            // last record applied
  lsn flushed() const { return flushed_; }            // rows in the store hold everything through
  std::uint64_t version() const { return version_; }  // pushes applied
  lsn next_lsn() const;                               // position the next accepted push will get
  /// Newest record that any loaded or updated row carries: above `applied` only between `load` and
  /// the redo of what was flushed behind the position.
  lsn newest_row() const { return newest_row_; }
  /// Newest record that any row may carry.
  lsn newest() const { return std::max(applied_, newest_row_); }

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

  /// Rows that are to go, found or not: the record to append, then `commit` or `roll_back`. Keys
  /// strictly ascending, on this shard, of a table of the job (a bug otherwise). No record where
  /// too many wait for the log.
  std::optional<storage::log_record> remove(removal what, std::uint64_t now_ms);
  /// Rows of a table that are idle for longer than its ttl, where that must be decided
  /// (schemas::expiry_spec): as many as its rate and `min_rows` allow, of the next `scan_max` rows
  /// looked at. Nothing when there is none.
  std::optional<removal> find_expired(table_id table, std::uint64_t now_ms, std::size_t scan_max);

  /// Applies the admitted record at `at`, which must be the next one, and returns its
  /// acknowledgement.
  schemas::push_ack commit(lsn at);
  /// Forgets every admission from `from` on: their append was refused.
  void roll_back(lsn from);

  /// Applies a record read from the log (idempotent by row LSN). Fails: corrupt.
  result<void> redo(const storage::log_record& record);
  /// As `redo`, but decides again which rows are admitted and which expire, as this shard is now:
  /// what the record decided may have come from records that do not count any more. On a shard
  /// whose rows hold nothing behind `applied`.
  result<void> redo_deciding(const storage::log_record& record);
  /// The position of rows that are put in place at once at `at`: versions and stamps go on from
  /// `before`, which is given up, its watermarks stay unless `retrain`, and who is in quarantine
  /// stays there. Pushes computed before are stale from then on.
  storage::shard_position install_at(lsn at, const position_state& before, bool retrain) const;

  /// Rows at the newest applied version; never creates, touches or counts a row. Refusals come as
  /// the reply's status: stale_epoch, stale_schema, unknown_table, bad_keys, unavailable.
  frame pull(const schemas::pull_section& section) const;

  /// Rows as a pull in `codec` gets them, into the memory of one block of a reply. Keys strictly
  /// ascending, of a table of the job (a bug otherwise).
  void gather(table_id table,
              std::span<const std::uint64_t> keys,
              schemas::value_codec codec,
              const schemas::pulled_block_memory& to) const;
  /// Tells `to`, which outlives this, of every row that changes or goes from now on (null: nobody).
  void report_changes(change_index* to) { changes_ = to; }
  /// Every event accepted before it is in the rows, as far as sources said in this run; 0: none
  /// did.
  std::uint64_t accepted_ms() const { return stamps_.least(); }

  /// Sources whose pushes are voided until they are released.
  const quarantine& quarantined() const { return quarantine_; }
  /// Lets one in again. False: it was not there. No record says so, only the next position.
  bool release(const std::string& source);

  schemas::watermark_reply watermarks(const schemas::watermark_request& request) const;
  /// Order-free; covers key, weights, optimizer state and count of every live row, not LSN. Rows
  /// that lie in `store` only are read from there; without it every row must lie in DRAM. Fails:
  /// corrupt, io_error.
  result<schemas::digest_reply> digest(storage::row_store& store) const;
  schemas::digest_reply digest() const;
  /// Rows and memory, at once; `rows` counts stored rows as far as they are known.
  schemas::digest_reply counts() const;

  // ---- rows in the store ----

  /// What a write-back has to do: the rows to copy, and the position that holds behind them.
  struct write_back {
    lsn through;
    dirty_rows rows;
    storage::shard_position position;
  };
  /// Everything changed up to now, as of `applied`, whatever is in flight. Rows that change while
  /// the write-back goes on may be copied as they are then: newer than the position, which redo by
  /// row LSN allows for.
  write_back begin_write_back();
  /// The position is durable: the log is not needed through it.
  void written_back(lsn through);
  /// The store has everything up to now, releases of sources as well.
  bool is_written_back() const { return flushed_ == applied_ && kept_releases_ == releases_; }
  /// A batch of a write-back that failed, or ended otherwise: its rows are dirty again.
  void lost(row_batch& batch) { batch.lost(tables_); }
  /// Begins, writes and ends a write-back at once. After a failure the position is where it was and
  /// the next flush writes those rows again.
  result<lsn> flush(storage::row_store& store);
  /// Writes what is dirty and leaves the position where it is.
  result<void> write_rows(storage::row_store& store);

  /// Loads rows and position; the caller then redoes the log from position + 1. Only on a new
  /// shard. Fails: corrupt (a row of no table, of another width or of another shard, a position
  /// that cannot be read), io_error.
  result<lsn> load(storage::row_store& store);
  /// As `load`, but leaves rows where they are, to be fetched when they are needed: the shard is
  /// ready at once. A store without a tail mark is loaded whole.
  result<lsn> load_position(storage::row_store& store);

  /// Some rows may lie in the store only.
  bool has_cold_rows() const;
  /// Some table may hold less than all of its rows in DRAM.
  bool has_budget() const;
  /// Some table may come to leave rows to the store only.
  bool may_miss() const;
  /// Pins the rows of these blocks that lie in DRAM and names those to fetch. Not open where every
  /// row is here to stay.
  working_set open_set(std::span<const schemas::row_block> blocks);
  working_set open_set(std::span<const schemas::pull_block> blocks);
  /// Of a record about to be redone. Fails: corrupt.
  result<working_set> open_set(const storage::log_record& record);
  /// Whether the blocks name tables of the job with keys in order: what `open_set` relies on.
  bool fits_tables(const schemas::push_section& section) const {
    return gate_.check_blocks(section).ok();
  }
  bool fits_tables(const schemas::pull_section& section) const { return check_keys(section).ok(); }
  /// Fails: unknown_table, bad_dims, bad_keys.
  result<void> check_keys(const schemas::pull_section& section) const;
  std::uint32_t tables() const { return static_cast<std::uint32_t>(tables_.size()); }
  /// Those of `keys` that have a live row in DRAM.
  std::vector<std::uint64_t> live_keys(table_id table, std::span<const std::uint64_t> keys) const;
  /// All keys that have one, ascending.
  std::vector<std::uint64_t> live_keys(table_id table) const;
  /// Takes what was found in the store of the missing rows, in (table, key) order, into DRAM. What
  /// came there meanwhile stays. Fails: corrupt.
  result<void> fill_set(working_set& set, const fetched_rows& found);
  /// The first half of `fill_set`, for rows that several open sets miss. Fails: corrupt.
  result<void> take_fetched(std::span<const storage::stored_row> rows);
  void close_set(working_set& set);

  /// Takes stored rows that are not in DRAM, of tables without a memory budget: the way back from
  /// `load_position`, piece by piece. Fails: corrupt.
  result<void> take_resident(std::span<const storage::stored_row> rows);
  /// Every stored row of tables without a memory budget was taken.
  void all_taken();

  /// Drops rows that nobody needs: cold ones of tables over their budget, tombstones and expired
  /// ones that the store knows about. Looks at `scan_max` rows of each table at most.
  void tidy(std::size_t scan_max);
  bool over_budget() const;
  /// Rows that the store does not have as they are, or not written since.
  std::size_t dirty() const;
  bool far_over_budget() const;
  /// Rows and bytes of records applied since the last write-back began to count.
  std::uint64_t tail_rows() const { return tail_rows_; }
  std::uint64_t tail_bytes() const { return tail_bytes_; }

  struct residency {
    std::uint64_t hits = 0;     // rows of working sets that lay in DRAM
    std::uint64_t fetched = 0;  // came from the store
    std::uint64_t absent = 0;   // were looked for in the store and not there
    std::uint64_t evicted = 0;
  };
  const residency& seen() const { return seen_; }

  /// Visits every live row of a table: (key, count, [dim] weights and then optimizer state). Order
  /// is not defined.
  void visit(table_id table,
             const std::function<void(row_key, std::uint32_t, std::span<const float>)>& see) const;

  /// Live rows of a table, by what an expiry or an admission would make of them.
  struct census {
    std::uint64_t rows = 0;
    std::uint64_t idle = 0;  // not pushed to for longer than the ttl, at the last record's stamp
    std::uint64_t rare = 0;  // pushed less often than the count
  };
  /// `ttl_ms` 0: none is idle.
  census count_rows(table_id table, std::uint64_t ttl_ms, std::uint32_t count_min) const;

 private:
  /// An admitted push, void or advance whose record is on its way to the log.
  struct pending {
    headrace::lsn lsn;
    std::uint64_t stamp_ms = 0;
    errc reason = errc::ok;  // of a void record
    std::string detail;
    double norm = 0.0;
    schemas::push_section section;   // without blocks unless it is to be applied; holds its frame
    admission_bits admitted;         // of its rows; none: all
    std::optional<removal> removed;  // instead of a section
  };
  /// Whether keys without a row get one; what it lets in is remembered until the record is applied.
  struct gatekeeper {
    explicit gatekeeper(const schemas::table_spec& spec) : rule(spec) {}
    admission rule;
    std::unordered_multiset<std::uint64_t> in_flight;  // keys that get their row in flight
    std::uint64_t expired_ms = 0;                      // when rows were last found to expire
  };

  schemas::push_ack ack_of(const schemas::push_section& section) const;
  decision refuse(const schemas::push_section& section,
                  const error& why,
                  batch_number watermark) const;
  /// The transient refusals that come with an accepted place in the chain.
  result<void> check_ready(const schemas::push_section& section) const;
  decision admit(schemas::push_section section, std::uint64_t now_ms, double norm);
  admission_bits admit_rows(const schemas::push_section& section, std::uint64_t stamp_ms);
  void forget_admissions(const schemas::push_section& section, const admission_bits& admitted);
  std::uint64_t next_stamp(std::uint64_t now_ms) const;
  std::uint64_t count_new_rows(const schemas::push_section& section) const;
  void note_newcomers(const schemas::push_section& section, std::uint64_t stamp_ms);
  decision admit_void(const schemas::push_section& section, std::uint64_t now_ms, const error& why);
  storage::log_record enter(pending entry, storage::record_kind kind, std::uint64_t now_ms);
  /// Everything a committed record changes.
  void apply(const schemas::push_section& section,
             const admission_bits& admitted,
             lsn at,
             std::uint64_t stamp_ms);
  void apply(const removal& what, lsn at, std::uint64_t stamp_ms);
  void advance_to(lsn at, std::uint64_t stamp_ms, std::size_t bytes);
  result<void> redo(const storage::log_record& record, bool deciding);
  result<void> redo_removal(const storage::log_record& record, bool deciding);
  result<void> check_record(const storage::log_record& record) const;
  frame refuse_pull(const error& why) const;
  result<lsn> take_position(storage::row_store& store);
  std::vector<std::byte> save_judgement(const quarantine& ward) const;
  result<void> load_judgement(std::span<const std::byte> bytes);
  result<void> take(const storage::stored_row& row);
  /// Those of tables that `wanted` names.
  template <class Wanted>
  result<void> take_all(std::span<const storage::stored_row> rows, Wanted wanted);
  result<void> write_all(dirty_rows rows, storage::row_store& store);
  template <class Block>
  working_set open_set_of(std::span<const Block> blocks);
  void add_rows(const table& rows, table_digest& sum) const;
  schemas::digest_reply reply_of(const table_digest& sum) const;
  /// Last record whose rows no open working set can be surprised by.
  lsn settled() const { return begun_.empty() ? applied_ : *begun_.begin(); }
  bool idle() const { return begun_.empty() && in_flight_.empty(); }
  result<std::vector<schemas::pulled_block_layout>> lay_out(
      const schemas::pull_section& section) const;

  shard_id id_;
  schemas::job_schema schema_;
  shard_limits limits_;
  headrace::epoch epoch_;
  gate gate_;
  std::vector<table> tables_;
  std::vector<gatekeeper> gatekeepers_;  // of each table
  push_rule rule_;
  quarantine quarantine_;
  source_quota quota_;
  std::deque<pending> in_flight_;
  lsn applied_;
  lsn flushed_;
  lsn newest_row_;
  std::uint64_t version_ = 0;
  std::uint64_t oldest_version_ = 0;  // what is computed from an older one is stale
  std::uint64_t stamp_ms_ = 0;
  std::multiset<lsn> begun_;     // of the open working sets
  bool taking_ = false;          // between load_position and all_taken
  bool removals_ = false;        // some row was removed in this life
  std::int64_t cold_rows_ = 0;   // stored and not in DRAM, as far as known
  std::uint64_t tail_rows_ = 0;  // since `flushed_`
  std::uint64_t tail_bytes_ = 0;
  std::uint64_t tail_rows_behind_ = 0;  // of the write-back under way
  std::uint64_t tail_bytes_behind_ = 0;
  std::uint64_t releases_ = 0;  // of sources, in this life; those that the position knows of:
  std::uint64_t kept_releases_ = 0;
  std::uint64_t releases_behind_ = 0;  // of the write-back under way
  residency seen_;
  change_index* changes_ = nullptr;
  accepted_stamps stamps_;
};

}  // namespace headrace::ps
