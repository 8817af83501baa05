#pragma once

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "ps/shard/background.hpp"
#include "ps/shard/shard.hpp"
#include "storage/ordered_log.hpp"
#include "storage/row_store.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace headrace::ps {

/// How a shard keeps what it learns.
struct durability_options {
  schemas::log_mode mode = schemas::log_mode::os;  // what the log's `committed` means
  /// Records are dropped from the log once rows hold them and nobody else needs them.
  bool truncate = false;
  /// The unflushed tail of the log: rows are written back at half of it, and nothing more is taken
  /// at all of it (design §5).
  std::uint64_t tail_rows_max = 2'000'000;
  std::uint64_t tail_bytes_max = std::uint64_t{128} << 20;
  std::size_t rows_per_slice = 4'096;   // copied at a time: about half a millisecond
  std::size_t rows_per_batch = 65'536;  // of a write-back: a sorted file of some tens of megabytes
  std::size_t rows_per_piece = 16'384;  // taken from the store at a time
};

/// A shard with its update log and row store: (fetch →) decide → append → commit → apply →
/// acknowledge, and rows written back behind it.
///
/// Pushes are decided in the order they came, each when the rows it needs lie in DRAM; pulls are
/// answered as soon as theirs do. Waiting for disks is done by `background`.
///
/// Single-threaded: the shard actor owns it. The log may report an outcome on a thread of its own;
/// then `deliver` is called there and must bring (lsn, outcome) back to the owner, in the order of
/// the calls, who calls `outcome`. Every append has exactly one outcome, in the order of appends.
class durable_shard {
 public:
  /// Takes one encoded reply; called at most once for each request, on the owner's thread.
  using answer = std::function<void(frame reply)>;
  using delivery = std::function<void(lsn at, storage::append_outcome outcome)>;

  struct parts {
    std::unique_ptr<shard> state;
    std::unique_ptr<storage::ordered_log> log;
    storage::row_store* rows = nullptr;
    const clock* time = nullptr;
    std::unique_ptr<background> io = std::make_unique<in_place>();
    delivery deliver;
    durability_options how;
  };
  /// Reads the position, redoes the log behind it, and begins to take the stored rows into DRAM.
  /// Fails: corrupt (also where the log ends before the rows do, or begins behind them), io_error.
  static result<std::unique_ptr<durable_shard>> open(parts from);
  ~durable_shard();

  /// Answers with an encoded push_ack, at once or when the record is committed. A record that the
  /// log refuses is rolled back with everything admitted behind it, and answered `overloaded`. No
  /// answer comes when an outcome is unknown: workers send the same bytes again to the next
  /// incarnation.
  void push(const frame& section, answer reply);
  /// Answers with an encoded pull_reply.
  void pull(const frame& section, answer reply);

  /// Removes rows for good: what became of it, and which of the keys had a row.
  struct forgotten {
    lsn at;
    std::vector<std::uint64_t> found;
  };
  /// `keys` strictly ascending. `done` hears when the removal is committed. A dry run only says
  /// which have a row; its lsn is 0. Fails: unknown_table, bad_keys, overloaded, unavailable.
  void forget(table_id table,
              std::vector<std::uint64_t> keys,
              std::function<void(const result<forgotten>&)> done,
              bool dry_run = false);
  /// Lets a source out of quarantine. False: it was not there. No record says so: it survives a
  /// restart once a flush that was asked for afterwards is done.
  bool release(const std::string& source) { return state_->release(source); }
  /// Lets rows expire where that must be decided, and drops what nobody needs. Call it some times a
  /// second.
  void tick();

  /// What became of the append at `at`. False: the outcome is unknown, so this object must be
  /// dropped and opened again from the log; unanswered pushes are sent again by their workers.
  [[nodiscard]] bool outcome(lsn at, const storage::append_outcome& outcome);

  /// Digest of all rows, stored ones too, which are read on this thread. Fails: corrupt, io_error.
  result<schemas::digest_reply> digest() const { return state_->digest(*parts_.rows); }

  /// Writes changed rows whole and advances the position to the last applied record, which it
  /// gives. Appends may be in flight: they are no part of it. Returns when it is done.
  result<lsn> flush();
  /// The same beside other work. `done` hears of the write-back that covers everything applied now.
  using flushed = std::function<void(const result<lsn>&)>;
  void flush_later(flushed done = nullptr);
  /// Closes the log, then flushes. Fails as `flush`; what was acknowledged is safe in the log
  /// either way.
  result<void> close();

  /// Nothing at or above `keep` is truncated until told otherwise: a checkpoint is being read.
  void keep_log_from(lsn keep) { keep_from_ = keep; }
  storage::ordered_log& log() { return *parts_.log; }
  /// Where others wait for this shard's disks: works given to it end before its log is closed.
  background& io() { return *parts_.io; }

  /// Tells `to`, which outlives this, of every row that changes or goes from now on (null: nobody).
  void report_changes(change_index* to) { state_->report_changes(to); }
  /// Runs `use` with the rows of these keys in DRAM, fetched first where they lie in the store
  /// only; keys strictly ascending, of tables of the job. Where they cannot be read it is not run:
  /// `failure` says why.
  void with_rows(std::span<const schemas::pull_block> blocks, std::function<void()> use);
  /// Shows the keys of all stored rows, piece by piece, ascending within a table, beside other
  /// work, until `see` says false; then `done`.
  using key_visitor = std::function<bool(table_id table, std::span<const std::uint64_t> keys)>;
  void scan_stored_keys(key_visitor see, std::function<void()> done);

  const shard& state() const { return *state_; }
  const clock& time() const { return *parts_.time; }
  /// Why this object must be dropped and opened again; nothing while all is well. Pushes are
  /// refused as `unavailable` meanwhile.
  const std::optional<error>& failure() const { return failure_; }
  bool failed() const { return failure_.has_value(); }
  /// Why the log refused the newest push; empty when it took it.
  const std::string& refusing() const { return refusing_; }
  /// Why the newest write-back failed; nothing after one that did not.
  const std::optional<error>& write_back_failure() const { return write_back_failure_; }
  /// Why records that nobody needs any more could not be dropped; nothing after that went well.
  const std::optional<error>& truncation_failure() const { return truncation_failure_; }

 private:
  /// A push or a pull on its way to the tables.
  struct request {
    schemas::push_section push;
    schemas::pull_section pull;
    answer reply;
    working_set rows;
    bool fetching = false;
  };
  using request_ptr = std::shared_ptr<request>;
  /// One append whose outcome is to come.
  struct waiting {
    lsn at;
    answer reply;                                     // empty once answered
    std::function<void(const result<lsn>&)> removed;  // of a removal, instead of a reply
    working_set rows;
    bool rolled_back = false;  // with an earlier one: its own outcome says nothing any more
  };
  struct duplicate {
    lsn wait_for;
    schemas::push_ack ack;
    answer reply;
  };
  /// A write-back under way. Its steps know it by number: it may be abandoned between two of them.
  struct cycle {
    std::uint64_t number;
    shard::write_back rest;
    std::shared_ptr<row_batch> batch;
    std::vector<flushed> done;
  };

  struct piece;  // of rows on their way from the store
  struct key_piece;

  explicit durable_shard(parts from);
  result<void> recover();
  result<void> make_room();
  void take_rest();
  void take_rest(storage::row_place from, std::shared_ptr<piece> found);

  void scan_keys(const std::shared_ptr<key_piece>& scan);
  void fetch(const request_ptr& what, std::function<void()> then);
  void answer_pull(request& what);
  void pump();
  bool must_wait();
  bool is_full() const;
  bool tail_is_half_full() const;
  void decide(request& what);
  void append(const storage::log_record& record, waiting what);
  void remove(removal what, std::function<void(const result<lsn>&)> done);
  void settle(waiting done);
  void refuse_from(lsn at, const storage::append_outcome& outcome);
  schemas::push_ack refusal(errc code, std::string detail) const;
  frame refused_pull(const error& why) const;
  void fail(error why);
  void tidy();

  void begin_cycle();
  void step(std::uint64_t number);
  void write_batch();
  void commit_cycle();
  void end_cycle(const result<lsn>& how);
  result<lsn> flush_now();
  void truncate(lsn through);

  parts parts_;
  shard* state_;
  std::deque<request_ptr> queue_;      // pushes not decided yet
  std::deque<waiting> appended_;       // in the order of appends
  std::vector<duplicate> duplicates_;  // wait for another push's record; at most duplicates_max
  std::optional<cycle> cycle_;
  std::vector<flushed> next_;  // asked for while a cycle was under way
  std::uint64_t cycles_ = 0;
  std::size_t fetches_ = 0;  // under way
  lsn keep_from_{UINT64_MAX};
  bool pumping_ = false;
  std::optional<error> failure_;
  std::optional<error> write_back_failure_;
  std::optional<error> truncation_failure_;
  std::uint64_t failed_ms_ = 0;  // when
  std::string refusing_;
};

}  // namespace headrace::ps
