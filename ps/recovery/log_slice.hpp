#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "storage/ordered_log.hpp"

#include <vector>

namespace headrace::ps {

/// One shard's records through a position, from logs that hold parts of one history (the log tail
/// of a checkpoint and the log of the state folder), to be read only. What two of them have is read
/// once.
class log_slice final : public storage::ordered_log {
 public:
  /// The logs must outlive this object; those given first are asked first.
  log_slice(std::vector<storage::ordered_log*> logs, lsn through)
      : logs_(std::move(logs)), through_(through) {}

  /// Refuses: what is read here is written elsewhere.
  void append(std::span<const storage::log_record> group, lsn expected, on_outcome done) override;
  /// Fails also: not_found, where no log has the next record.
  result<void> read_from(lsn from, const visitor& visit) override;
  result<void> truncate_before(lsn keep_from) override;
  /// `last` is the position it was made for, whatever the logs hold.
  extent last() const override;
  result<void> close() override { return {}; }

 private:
  std::vector<storage::ordered_log*> logs_;
  lsn through_;
};

}  // namespace headrace::ps
