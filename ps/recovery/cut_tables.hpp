#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "ps/shard/position_state.hpp"
#include "ps/shard/shard.hpp"
#include "schemas/control.hpp"
#include "schemas/schema.hpp"
#include "storage/ordered_log.hpp"
#include "storage/row_store.hpp"

#include <memory>

namespace headrace::ps {

/// One shard as its stored rows and the log behind them say, through a record: for those who look
/// at a checkpoint or a state folder. Rows that the log does not touch stay in the store, so memory
/// is that of the log's tail; nothing is written.
class cut_tables {
 public:
  /// Rows of `store`, then the records of `log` behind their position through `through` (or the
  /// last there is). `store` must outlive this object. Fails: corrupt (also where the log does not
  /// reach from the position to the newest stored row), io_error.
  static result<cut_tables> open(shard_id id,
                                 const schemas::job_schema& schema,
                                 storage::row_store& store,
                                 storage::ordered_log& log,
                                 lsn through = lsn{UINT64_MAX});

  /// Reads every stored row. Fails: corrupt, io_error.
  result<schemas::digest_reply> digest() const { return state_->digest(*store_); }
  lsn applied() const { return state_->applied(); }
  std::uint64_t version() const { return state_->version(); }
  /// What a position behind the last record keeps beside the rows.
  result<position_state> position() const;

 private:
  cut_tables(std::unique_ptr<shard> state, storage::row_store& store)
      : state_(std::move(state)), store_(&store) {}
  result<void> redo(const storage::log_record& record);

  std::unique_ptr<shard> state_;
  storage::row_store* store_;
};

}  // namespace headrace::ps
