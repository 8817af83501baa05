#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "ps/shard/shard.hpp"
#include "storage/ordered_log.hpp"
#include "storage/row_store.hpp"

namespace headrace::ps {

/// A shard with its update log and row store: decide → append → commit → apply → acknowledge.
///
/// Single-threaded: the shard actor owns it. The log may report an outcome on a thread of its own; then
/// `deliver` is called there and must bring (lsn, outcome) back to the owner, who calls `outcome`.
class durable_shard {
 public:
  /// Takes one encoded reply; called once for each request, on the owner's thread.
  using answer = std::function<void(frame reply)>;
  using delivery = std::function<void(lsn at, storage::append_outcome outcome)>;

  /// Loads rows and position, then redoes the log behind it. Fails: corrupt, io_error.
  static result<std::unique_ptr<durable_shard>> open(std::unique_ptr<shard> state,
                                                     std::unique_ptr<storage::ordered_log> log,
                                                     storage::row_store& rows,
                                                     const clock& time,
                                                     schemas::log_mode mode,
                                                     delivery deliver);
  ~durable_shard();

  /// Answers with an encoded push_ack, at once or when the record is committed.
  void push(const frame& section, answer reply);
  /// Answers with an encoded pull_reply.
  frame pull(const frame& section) const;

  /// What became of the append at `at`. False: the outcome is unknown, so this object must be dropped and opened
  /// again from the log; unanswered pushes are sent again by their workers.
  [[nodiscard]] bool outcome(lsn at, const storage::append_outcome& outcome);

  /// Writes changed rows whole and advances the position; does nothing while appends are in flight.
  result<lsn> flush();
  /// Flushes and closes the log. Fails as `flush`; what was acknowledged is safe in the log either way.
  result<void> close();

  const shard& state() const { return *state_; }
  /// True after an unknown outcome that came back inside `push`.
  bool failed() const { return failed_; }

 private:
  durable_shard() = default;
  void settle(lsn at, const storage::append_outcome& outcome);
  void refuse_from(lsn at, const storage::append_outcome& outcome);
  frame refusal(errc code, std::string detail) const;

  std::unique_ptr<shard> state_;
  std::unique_ptr<storage::ordered_log> log_;
  storage::row_store* rows_ = nullptr;
  const clock* time_ = nullptr;
  schemas::log_mode mode_ = schemas::log_mode::os;
  delivery deliver_;
  std::map<lsn, answer> appended_;                       // waits for its own record
  std::multimap<lsn, std::pair<schemas::push_ack, answer>> duplicates_;  // waits for another's record
  bool failed_ = false;
};

}  // namespace headrace::ps
