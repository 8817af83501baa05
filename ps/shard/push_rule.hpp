#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "schemas/push.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace headrace::ps {

/// The whole of exactly-once (design §4): one integer comparison for each (source, lane).
///
/// With w = admitted watermark of (source, lane): batch ≤ w is a duplicate, to be acknowledged once
/// w's record is committed; prev == w is accepted; anything else is a gap and is refused with w.
/// What was admitted but not committed is rolled back when the append fails. A source has one live
/// generation: the highest seen; lower ones are retired and never accepted.
/// Plain state, single-threaded: the shard owns it. Watermarks and log records are one: nothing
/// here is stored apart from the log except as of a checkpoint's position.
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
  /// Advances the admitted watermark of an accepted push whose record will be `at`, above every
  /// earlier one. Redo calls it for what the log holds, without `check`: the log is what was
  /// decided.
  void admit(const schemas::source_id& source, schemas::lane lane, batch_number batch, lsn at);
  /// Records at and below `through` are committed.
  void commit(lsn through);
  /// Forgets every admission at or above `from`: their append failed.
  void roll_back(lsn from);

  /// Committed watermark, 0 for a source this shard never met. Fails: unknown_source when retired.
  result<batch_number> committed(const schemas::source_id& source, schemas::lane lane) const;

  /// Whether a source of this name, of any generation, was ever admitted; and how many were.
  bool knows(const schemas::source_id& source) const { return sources_.contains(source.name); }
  std::size_t sources() const { return sources_.size(); }

  /// Smallest committed rows-watermark over the sources: G of design §4, for one shard.
  std::uint64_t slowest() const;

  /// Visits the committed watermark of every source's live generation, both lanes, in name order.
  void visit(
      const std::function<void(const schemas::source_id&, schemas::lane, batch_number)>& see) const;

  /// Committed state as bytes, and back (docs/storage-format.md). What is in flight is no part of
  /// it.
  std::vector<std::byte> save() const;
  result<void> load(std::span<const std::byte> bytes);

 private:
  struct chain {
    batch_number batch;
    lsn at;  // of the record that brought it
  };
  struct source_state {
    std::uint32_t generation = 0;  // committed; 0 = nothing committed yet
    std::array<chain, 2> lanes;
  };
  using source_map = std::map<std::string, source_state, std::less<>>;
  struct admission {
    lsn at;
    source_map::iterator source;  // stable: a source is erased only when nothing of it is in flight
    std::uint32_t generation;
    schemas::lane lane;
    batch_number batch;
  };

  /// Highest generation of the source, and the admitted end of one lane of it.
  struct tip {
    std::uint32_t generation = 0;
    chain end;
  };
  tip admitted(source_map::const_iterator source, schemas::lane lane) const;
  void advance(const admission& done);
  void find_slowest();

  source_map sources_;
  std::deque<admission> in_flight_;  // ascending by `at`
  std::uint64_t slowest_ = 0;
};

}  // namespace headrace::ps
