#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "schemas/push.hpp"
#include "schemas/schema.hpp"
#include "tests/simulation/profile.hpp"

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace headrace::simulation {

/// Table 0: `add`, two floats a row. The gradients are small integers that depend on nothing but
/// the batch, so sums are exact in any order and a retry has the same bytes.
inline constexpr table_id sums{0};
/// Table 1: Adagrad over the same keys, whose rows depend on the order: for the comparison with a
/// replay.
inline constexpr table_id ordered{1};
/// Table 2: the same with everything that is decided once: admission, idle time, int8 rows.
inline constexpr table_id judged{2};
inline constexpr std::array simulated_tables{sums, ordered, judged};
inline constexpr std::uint32_t sums_dim = 2;

schemas::job_schema simulated_schema(const profile& p);

/// What one batch holds for one shard.
struct sealed_section {
  std::vector<std::uint64_t> keys;  // ascending
  std::vector<std::uint32_t> counts;
  std::vector<float> gradients;  // [keys * sums_dim], of table `sums`
  bool poisoned = false;         // a value is not finite: the shard must write a void record
  headrace::frame frame;         // the push section; empty where there are no keys
};

/// The sealed samples of every source: fixed contents under increasing numbers, as the sample log
/// keeps them. What a run must have learned in the end is computed from here alone.
class sealed_batches {
 public:
  sealed_batches(const profile& p, dice& chance);

  std::uint32_t sources() const { return static_cast<std::uint32_t>(of_source_.size()); }
  schemas::source_id source(std::uint32_t index) const;
  /// Index of a source by its name; `sources()` when unknown.
  std::uint32_t index_of(const schemas::source_id& source) const;
  /// Batches are numbered from 1.
  const sealed_section& at(std::uint32_t source, batch_number batch, shard_id shard) const;
  std::uint32_t batches() const { return batches_; }
  const std::vector<std::uint64_t>& keys() const { return keys_; }

 private:
  sealed_section make(std::uint32_t source,
                      batch_number batch,
                      shard_id shard,
                      const profile& p,
                      dice& chance) const;

  std::uint32_t batches_;
  std::uint32_t shards_;
  std::vector<std::uint64_t> keys_;
  std::vector<std::vector<sealed_section>> of_source_;  // [source][(batch - 1) * shards + shard]
};

}  // namespace headrace::simulation
