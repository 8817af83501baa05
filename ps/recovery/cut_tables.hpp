#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "ps/shard/position_state.hpp"
#include "ps/shard/shard.hpp"
#include "schemas/control.hpp"
#include "schemas/schema.hpp"
#include "storage/ordered_log.hpp"
#include "storage/row_store.hpp"

#include <cstdint>
#include <memory>
#include <string>

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

  /// A source whose records do not count.
  struct without {
    std::string source;         // its name
    std::uint64_t from_ms = 0;  // where they are stamped so or later; 0 = all of them
    lsn decide_after;           // records behind this are decided again: rows hold none of them
  };
  /// The tables as they would be had `left_out` never sent those records. Fails: as `open`.
  static result<cut_tables> open_without(shard_id id,
                                         const schemas::job_schema& schema,
                                         storage::row_store& store,
                                         storage::ordered_log& log,
                                         lsn through,
                                         const without& left_out);

  /// Reads every stored row. Fails: corrupt, io_error.
  result<schemas::digest_reply> digest() const { return state_->digest(*store_); }
  lsn applied() const { return state_->applied(); }
  std::uint64_t version() const { return state_->version(); }
  /// What a position behind the last record keeps beside the rows.
  result<position_state> position() const;
  /// Records of the source that were left out.
  std::uint64_t left_out() const { return left_out_; }

  /// Makes these tables what the store holds, as of a record at `at`: writes what is not in it and
  /// moves its position (shard::install_at). The store must not be a live one. Fails: disk_full,
  /// io_error.
  result<void> install(lsn at, const position_state& before, bool retrain);

 private:
  cut_tables(std::unique_ptr<shard> state, storage::row_store& store)
      : state_(std::move(state)), store_(&store) {}
  result<void> read(storage::ordered_log& log, lsn through, const without* left_out);

  std::unique_ptr<shard> state_;
  storage::row_store* store_;
  std::uint64_t left_out_ = 0;
};

}  // namespace headrace::ps
