#pragma once

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "ps/shard/shard.hpp"
#include "storage/ordered_log.hpp"
#include "storage/row_store.hpp"

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace headrace::ps {

/// A shard with its update log and row store: decide → append → commit → apply → acknowledge.
///
/// Single-threaded: the shard actor owns it. The log may report an outcome on a thread of its own;
/// then `deliver` is called there and must bring (lsn, outcome) back to the owner, in the order of
/// the calls, who calls `outcome`. Every append has exactly one outcome, in the order of appends.
class durable_shard {
 public:
  /// Takes one encoded reply; called at most once for each request, on the owner's thread.
  using answer = std::function<void(frame reply)>;
  using delivery = std::function<void(lsn at, storage::append_outcome outcome)>;

  /// Loads rows and position, then redoes the log behind it. Fails: corrupt (also where the log
  /// ends before the rows do, or begins behind them), io_error.
  static result<std::unique_ptr<durable_shard>> open(std::unique_ptr<shard> state,
                                                     std::unique_ptr<storage::ordered_log> log,
                                                     storage::row_store& rows,
                                                     const clock& time,
                                                     schemas::log_mode mode,
                                                     delivery deliver);
  ~durable_shard();

  /// Answers with an encoded push_ack, at once or when the record is committed. A record that the
  /// log refuses is rolled back with everything admitted behind it, and answered `overloaded`. No
  /// answer comes when an outcome is unknown: workers send the same bytes again to the next
  /// incarnation.
  void push(const frame& section, answer reply);
  /// Answers with an encoded pull_reply.
  frame pull(const frame& section) const;

  /// What became of the append at `at`. False: the outcome is unknown, so this object must be
  /// dropped and opened again from the log; unanswered pushes are sent again by their workers.
  [[nodiscard]] bool outcome(lsn at, const storage::append_outcome& outcome);

  /// Writes changed rows whole and advances the position to the last applied record, which it
  /// gives. Appends may be in flight: they are no part of it.
  result<lsn> flush();
  /// Closes the log, then flushes. Fails as `flush`; what was acknowledged is safe in the log
  /// either way.
  result<void> close();

  const shard& state() const { return *state_; }
  /// True after an unknown outcome: pushes are refused as `unavailable` until the shard is opened
  /// again.
  bool failed() const { return failed_; }
  /// Why the log refused the newest push; empty when it took it.
  const std::string& refusing() const { return refusing_; }

 private:
  /// One append whose outcome is to come.
  struct waiting {
    lsn at;
    answer reply;              // empty once answered
    bool rolled_back = false;  // with an earlier one: its own outcome says nothing any more
  };
  struct duplicate {
    lsn wait_for;
    schemas::push_ack ack;
    answer reply;
  };

  durable_shard() = default;
  void append(const storage::log_record& record, answer reply);
  void settle(waiting done);
  void refuse_from(lsn at, const storage::append_outcome& outcome);
  schemas::push_ack refusal(errc code, std::string detail) const;

  std::unique_ptr<shard> state_;
  std::unique_ptr<storage::ordered_log> log_;
  storage::row_store* rows_ = nullptr;
  const clock* time_ = nullptr;
  schemas::log_mode mode_ = schemas::log_mode::os;
  delivery deliver_;
  std::deque<waiting> appended_;       // in the order of appends
  std::vector<duplicate> duplicates_;  // wait for another push's record; at most duplicates_max
  bool failed_ = false;
  std::string refusing_;
};

}  // namespace headrace::ps
