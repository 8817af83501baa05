#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <span>
#include <vector>

#include "base/ids.hpp"
#include "base/result.hpp"
#include "schemas/push.hpp"

namespace headrace::ps {

/// The whole of exactly-once (design §4): one integer comparison for each (source, lane).
///
/// With w = admitted watermark of (source, lane): batch ≤ w is a duplicate, to be acknowledged once w's
/// record is committed; prev == w is accepted; anything else is a gap and is refused with w. What was
/// admitted but not committed is rolled back when the append fails. A source has one live
/// generation: the highest seen; lower ones are retired and never accepted.
/// Plain state, single-threaded: the shard owns it. Watermarks and log records are one: nothing here
/// is stored apart from the log except as of a checkpoint's position.
class push_rule {
 public:
  enum class verdict : std::uint8_t { accept, duplicate, gap, retired };
  struct answer {
    verdict kind = verdict::gap;
    batch_number watermark;  // admitted w
    lsn wait_for;            // duplicate: acknowledge when this record is committed
  };

  /// Decides without changing anything.
  answer check(const schemas::source_id& source,
               schemas::lane lane,
               batch_number batch,
               batch_number prev) const;
  /// Advances the admitted watermark of an accepted push whose record will be `at`.
  void admit(const schemas::source_id& source, schemas::lane lane, batch_number batch, lsn at);
  /// Records at and below `through` are committed.
  void commit(lsn through);
  /// Forgets every admission at or above `from`: their append failed.
  void roll_back(lsn from);

  /// Committed watermark, 0 for a source this shard never met. Fails: unknown_source when retired.
  result<batch_number> committed(const schemas::source_id& source, schemas::lane lane) const;

  /// Smallest committed rows-watermark over the sources: G of design §4, for one shard.
  std::uint64_t slowest() const;

  /// Committed state as bytes, and back (docs/storage-format.md). Requires nothing in flight.
  std::vector<std::byte> save() const;
  result<void> load(std::span<const std::byte> bytes);

 private:
  struct admission {
    lsn at;
    batch_number batch;
  };
  struct chain {
    batch_number committed;
    lsn committed_at;
    std::deque<admission> in_flight;
  };
  struct source_state {
    std::uint32_t generation = 0;
    chain lanes[2];
  };
  std::map<std::string, source_state, std::less<>> sources_;
};

}  // namespace headrace::ps
