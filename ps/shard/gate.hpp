#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "ps/shard/limits.hpp"
#include "ps/shard/norm_median.hpp"
#include "schemas/pull.hpp"
#include "schemas/push.hpp"
#include "schemas/schema.hpp"

#include <span>
#include <string>

namespace headrace::ps {

/// What a push must pass before the shard gives it a position, in the order of design §4:
///
/// `check_request` (size, shard, epoch, schema version) → the push rule (ps/shard/push_rule.hpp) →
/// `check_blocks` (tables, dims, codecs, keys) → `check_values` (finite, norm). Refusals of the
/// first group leave no trace; those of the last two are permanent and become void records. Each
/// says what, which id and why. Single-threaded: the shard owns it.
class gate {
 public:
  gate(shard_id shard,
       const schemas::job_schema& schema,
       shard_limits limits,
       headrace::epoch epoch);

  /// Fails: too_large, malformed (generation 0, or sent to the wrong shard), stale_epoch,
  /// stale_schema.
  result<void> check_request(const schemas::push_section& section) const;
  result<void> check_request(const schemas::pull_section& section) const;

  /// Each table at most once and in ascending order; dims, codecs and sizes as the table's; keys
  /// strictly ascending and on this shard. Fails: unknown_table, bad_dims, bad_keys.
  result<void> check_blocks(const schemas::push_section& section) const;
  /// Table, codec and keys of a pull. Fails: unknown_table, bad_dims, bad_keys.
  result<void> check_block(const schemas::pull_block& block) const;

  /// Every value and scale finite, the L2 norm over all blocks not above `norm_factor_max` times
  /// the running median of (source, lane). Gives the norm. Requires `check_blocks`. Fails:
  /// not_finite, norm_exceeded.
  result<double> check_values(const schemas::push_section& section) const;
  /// Takes the norm of a committed push into the running median.
  void learn_norm(const schemas::push_section& section, double norm);

 private:
  result<void> check_addressed(shard_id shard, headrace::epoch epoch, std::uint32_t version) const;
  result<const schemas::table_spec*> find_table(table_id id) const;
  result<void> check_keys(table_id table, std::span<const std::uint64_t> keys) const;

  shard_id shard_;
  schemas::job_schema schema_;
  shard_limits limits_;
  headrace::epoch epoch_;
  norm_median norms_;
};

}  // namespace headrace::ps
