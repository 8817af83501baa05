#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "base/random.hpp"
#include "base/result.hpp"
#include "ps/shard/shard.hpp"
#include "schemas/push.hpp"
#include "schemas/schema.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

/// Shards without a server around them, and what the benches of the gates push and pull.
namespace headrace::bench {

inline constexpr std::size_t gate_batch_rows = 4'096;

/// A job of one table.
struct gate_job {
  std::uint32_t dim = 64;
  std::uint32_t shards = 1;
  schemas::optimizer_kind optimizer = schemas::optimizer_kind::add;
  schemas::value_codec stored = schemas::value_codec::fp32;
  std::uint64_t memory_bytes = 0;  // of the table on one shard; 0 = all rows stay in DRAM
};
schemas::job_schema schema_of(const gate_job& job);

/// Keys of ranks 1 … rows that live on one shard, in the order of their ranks.
std::vector<std::uint64_t> keys_on(shard_id id, std::uint32_t shards, std::uint64_t rows);

/// So many different ones of `keys`, uniformly drawn, ascending.
std::vector<std::uint64_t> draw_keys(std::span<const std::uint64_t> keys,
                                     std::size_t count,
                                     random_stream& random);

/// The pushes of one source to one shard, one after another: what a worker's bytes bring. All
/// deltas are the same small number.
class push_source {
 public:
  push_source(const gate_job& job, shard_id to, schemas::value_codec codec);
  /// The next section of the chain, encoded. At most gate_batch_rows keys, strictly ascending.
  frame next(std::span<const std::uint64_t> keys);

 private:
  schemas::push_section section_;
  std::vector<std::uint16_t> scales_;
  std::vector<std::byte> values_;
  std::size_t row_bytes_;
};

/// An encoded pull.
frame pull_of(shard_id to, std::span<const std::uint64_t> keys, schemas::value_codec codec);

/// What the shard actor does with a push where there is no log: decode, decide, commit, and encode
/// the acknowledgement. Fails: whatever refused it.
result<void> push_without_log(ps::shard& to, const frame& section);

/// Pushes every key once, gate_batch_rows at a time.
result<void> fill(ps::shard& to, push_source& from, std::span<const std::uint64_t> keys);

double seconds_since(std::chrono::steady_clock::time_point begin);

/// Calls `step(thread)` again and again on so many threads, which begin together, until `seconds`
/// are over. A step returns the rows it handled; gives rows a second of all threads.
result<double> rate_of_threads(unsigned threads,
                               double seconds,
                               const std::function<result<std::size_t>(unsigned)>& step);

}  // namespace headrace::bench
