#pragma once

#include "storage/ordered_log.hpp"

#include <deque>
#include <memory>
#include <vector>

namespace headrace::storage {

/// A log in memory, for tests and the simulator: its outcomes can be chosen and delayed.
///
/// What is stored outlives the log object when `contents` is shared: drop the log, open another
/// over the same contents, and the process has been killed and restarted. Dropping runs no `done`.
/// Single-threaded: `done` runs inside `append`, `deliver` or `close`.
class memory_log final : public ordered_log {
 public:
  /// What the disk holds.
  struct contents {
    std::vector<log_record> records;
    lsn first{1};  // of records.front()
  };
  /// What becomes of an append.
  enum class fate : std::uint8_t {
    commit,
    refuse,           // later appends in flight are refused too; then the log accepts again
    unknown_present,  // in the log, but the owner is told `unknown`; the log then refuses
                      // everything
    unknown_absent,   // not in the log, the same otherwise
  };

  explicit memory_log(std::shared_ptr<contents> disk = std::make_shared<contents>());

  void append(std::span<const log_record> group, lsn expected, on_outcome done) override;
  result<void> read_from(lsn from, const visitor& visit) override;
  result<void> truncate_before(lsn keep_from) override;
  extent last() const override;
  /// Delivers what is held, then refuses everything.
  result<void> close() override;

  /// The next append that has no fate yet gets this one; call again for the ones behind it. `code`
  /// is told with refusals and unknowns.
  void next(fate what, errc code = errc::disk_full);
  /// While on, outcomes wait for `deliver`; the records are not in the log before that.
  void hold(bool on) { holding_ = on; }
  std::size_t held() const { return held_.size(); }
  /// Settles the oldest `count` held appends, in order.
  void deliver(std::size_t count = SIZE_MAX);
  /// The oldest `count` held appends reach the disk and the rest does not; no `done` runs, as when
  /// the process is killed. The log then refuses everything.
  void crash(std::size_t count);

  const std::shared_ptr<contents>& disk() const { return disk_; }

 private:
  struct waiting {
    std::vector<log_record> group;
    headrace::lsn expected;
    on_outcome done;
  };
  void settle(waiting one);
  void store(std::vector<log_record> group);
  lsn tail() const;

  struct planned {
    fate what = fate::commit;
    errc code = errc::ok;
  };
  std::shared_ptr<contents> disk_;
  std::deque<planned> plan_;
  std::deque<waiting> held_;
  append_outcome refusal_;
  bool holding_ = false;
  bool dead_ = false;
};

}  // namespace headrace::storage
