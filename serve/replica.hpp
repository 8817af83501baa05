#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "schemas/delta.hpp"
#include "schemas/schema.hpp"
#include "serve/replica_rows.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <span>
#include <vector>

namespace headrace::serve {

/// What an answer says of the rows it was made from.
struct replica_stamp {
  std::uint64_t version = 0;      // sum of the shards' versions: grows with every push applied
  std::uint64_t accepted_ms = 0;  // every event accepted before it is in: the least of the shards
  bool whole = false;             // every shard has sent all it had
  friend bool operator==(const replica_stamp&, const replica_stamp&) = default;
};

/// The tables of a job as they were learned a moment ago: installs what each shard's session begins
/// with and follows its deltas (design §8).
///
/// `apply` belongs to one thread; everything else may be called by any number of threads at the
/// same time. A reader never sees a torn row, and rows are never older than the stamp it read
/// before them; stamps never go back. While a session begins anew, the rows of the one before stay
/// until the new one is whole, and then go where it does not have them.
class replica {
 public:
  /// `held` is the codec of each table, as the shards send it; `secret`: see replica_rows.
  replica(schemas::job_schema schema,
          std::span<const schemas::value_codec> held,
          std::uint64_t secret);

  enum class outcome : std::uint8_t { applied, old };
  /// Takes the next delta of a shard. One that was taken before, or of a session before, changes
  /// nothing. A new owner (a higher epoch) numbers its sessions anew. Fails, and changes nothing:
  /// gap (deltas are missing: resume behind `last_number`), stale_epoch (from an owner that is none
  /// any more, or a shard that lost versions which were served), stale_schema, wrong_job,
  /// unknown_table, bad_dims (another dim or codec), not_finite.
  result<outcome> apply(const schemas::delta& message);

  /// Of one shard: what to ask it for, and how far behind this is.
  struct shard_state {
    headrace::epoch epoch{0};
    std::uint64_t session = 0;
    std::uint64_t number = 0;  // last delta taken in the session
    headrace::lsn lsn;
    std::uint64_t version = 0;
    std::uint64_t accepted_ms = 0;
    std::uint64_t head_version = 0;  // of the shard, when it last said
    bool whole = false;              // this session is, or the one before was
    bool installing = false;         // the session has begun and is not whole yet
  };
  shard_state state(shard_id shard) const;
  replica_stamp stamp() const;

  struct answer {
    replica_stamp stamp;
    std::size_t absent = 0;  // keys without a row, answered with what a new row starts with
  };
  /// values [keys, dim] of a table of the job; `absent` [keys], where it is wanted, 1 for keys
  /// without a row. Keys in any order. Fails: unknown_table.
  result<answer> read(table_id table,
                      std::span<const std::uint64_t> keys,
                      std::span<float> values,
                      std::span<std::uint8_t> absent = {}) const;

  const schemas::job_schema& schema() const { return schema_; }
  std::size_t rows() const;
  std::size_t bytes() const;

 private:
  result<void> check(const schemas::delta& message, const shard_state& at) const;
  result<void> check_block(const schemas::delta_block& block) const;

  schemas::job_schema schema_;
  std::deque<replica_rows> tables_;
  std::vector<std::uint32_t> marks_;  // of each shard's session
  std::uint32_t marks_given_ = 0;
  mutable std::mutex mutex_;  // guards shards_ and stamp_
  std::vector<shard_state> shards_;
  replica_stamp stamp_;
};

}  // namespace headrace::serve
