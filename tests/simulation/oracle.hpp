#pragma once

#include "ps/shard/shard.hpp"
#include "schemas/pull.hpp"
#include "schemas/push.hpp"
#include "storage/memory_log.hpp"
#include "tests/simulation/sealed_batches.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace headrace::simulation {

/// Judges one shard by its log and by what it answers. Knows the sealed batches and nothing of how
/// the shard works.
///
/// `absorb` reads what is new in the log and checks that it is the one log allowed: positions
/// without holes, stamps that never decrease, and for every source a chain of whole batches, each
/// once, with the bytes that were sealed. It keeps every record, also those that the shard has
/// dropped since. Every check gives the first thing wrong, in words.
class oracle {
 public:
  using verdict = std::optional<std::string>;  // none: good

  oracle(shard_id shard, const sealed_batches& sealed);

  verdict absorb(const storage::memory_log::contents& disk);
  /// What the log has dropped must lie in durable rows, and none of it may be needed by others.
  verdict check_dropped(const storage::memory_log::contents& disk,
                        lsn flushed,
                        lsn keep_from) const;

  /// An answer to a push leaves the shard: what it says to have, the log must hold.
  verdict check_ack(const schemas::push_ack& ack, std::uint32_t source) const;
  /// Rows leave the shard: they must be the log's rows at the position that the answer names.
  verdict check_pull(const schemas::pull_section& asked, const schemas::pull_reply& reply);
  verdict check_watermark(std::uint32_t source, batch_number told) const;
  /// A batch is complete for its worker: this shard's part must be in the log.
  verdict check_complete(std::uint32_t source, batch_number batch) const;
  /// A new incarnation: versions are counted by each for itself.
  void reopened();
  /// An answer names a version: it never goes back within an incarnation.
  verdict check_version(std::uint64_t version);

  /// Everything was learned: every batch is in the log, and the tables, all of whose rows lie in
  /// DRAM, hold its sum.
  verdict check_finished(const ps::shard& state, const schemas::job_schema& schema) const;
  /// The tables are what a replay of every record through `through` makes, bit for bit.
  verdict check_replay(const schemas::digest_reply& digest,
                       std::uint64_t version,
                       lsn through,
                       const schemas::job_schema& schema) const;

  shard_id shard() const { return shard_; }
  lsn read() const { return read_; }
  batch_number watermark(std::uint32_t source) const { return last_[source]; }
  std::uint64_t voids() const { return voids_; }

 private:
  struct row_at {
    headrace::lsn lsn;
    std::uint32_t count = 0;
    std::array<float, sums_dim> sum{};
  };
  verdict absorb(const storage::log_record& record);
  verdict check_void(const storage::log_record& record,
                     const schemas::push_section& section,
                     std::uint32_t source);
  verdict check_section(const storage::log_record& record,
                        const schemas::push_section& section,
                        std::uint32_t source);
  const row_at* row(std::uint64_t key, lsn at) const;
  bool is_as_logged(const schemas::pull_block& asked,
                    const schemas::pulled_block& got,
                    lsn at) const;
  std::string where() const { return "shard " + std::to_string(shard_.value) + ": "; }

  shard_id shard_;
  const sealed_batches& sealed_;
  std::vector<batch_number> last_;                        // [source] of the log
  std::map<std::uint64_t, std::vector<row_at>> history_;  // of table `sums`, by key, ascending lsn
  /// How the log says a source behaved: a second telling of ps/shard/quarantine.hpp.
  struct conduct {
    std::uint64_t exploded = 0;  // bit i: the push i pushes ago was not finite
    std::uint64_t kept_out = 0;  // records of the source since it belongs in quarantine
    bool quarantined = false;
  };
  std::vector<conduct> conduct_;  // [source]
  std::set<std::pair<std::uint32_t, batch_number>> voided_;
  std::vector<storage::log_record> records_;
  lsn read_;  // of the last of them
  std::uint64_t stamp_ms_ = 0;
  lsn seen_lsn_;  // newest that a reader saw
  std::uint64_t version_ = 0;
  std::uint64_t voids_ = 0;
};

}  // namespace headrace::simulation
