#pragma once

#include "storage/memory_log.hpp"
#include "storage/memory_row_store.hpp"
#include "tests/simulation/oracle.hpp"

#include <memory>

namespace headrace::simulation {

/// The shard that stored rows and the log behind them make. Fails: corrupt, io_error.
result<std::unique_ptr<ps::shard>> restore(shard_id shard,
                                           const schemas::job_schema& schema,
                                           storage::row_store& rows,
                                           const storage::memory_log::contents& log);

/// A copy of one shard's stored rows as of a moment. With the log from its position on, which must
/// be kept until the copy is whole, it makes the shard as of any later record.
class checkpoint {
 public:
  /// Copies. Fails: io_error.
  static result<std::unique_ptr<checkpoint>> take(shard_id shard, storage::row_store& from);

  /// First record that it needs.
  lsn log_from() const { return log_from_; }
  /// Restores it from the log as it is now, all of which the judge knows.
  oracle::verdict check(const oracle& judge,
                        const schemas::job_schema& schema,
                        const storage::memory_log::contents& log);

 private:
  explicit checkpoint(shard_id shard) : shard_(shard) {}

  shard_id shard_;
  storage::memory_row_store rows_;
  lsn log_from_;
};

}  // namespace headrace::simulation
