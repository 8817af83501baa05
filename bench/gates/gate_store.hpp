#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "bench/gates/gate_background.hpp"
#include "bench/gates/gate_shard.hpp"
#include "ps/shard/durable_shard.hpp"
#include "storage/io_pool.hpp"
#include "storage/rocks_row_store.hpp"

#include <filesystem>
#include <memory>
#include <span>
#include <vector>

/// A row store with logs, and durable shards over them, as the product's server has them.
namespace headrace::bench {

/// The disks of one server and the pool of those who wait for them.
struct gate_store {
  static result<std::unique_ptr<gate_store>> open(const std::filesystem::path& folder,
                                                  bool cold_rows = false);

  /// Opens a shard over the store and its log; what it waits for comes to `inbox`. Where the log's
  /// tail has no bound, nothing is written back.
  result<std::unique_ptr<ps::durable_shard>> open_shard(const gate_job& job,
                                                        shard_id id,
                                                        gate_inbox& inbox,
                                                        bool bounded_tail = true);

  std::filesystem::path folder;
  system_clock time;
  std::unique_ptr<storage::io_pool> pool;  // outlives what waits on it
  std::unique_ptr<storage::rocks_row_store> rows;
};

/// Makes one row for each key and writes them to the store with a position, then pushes the batches
/// of `tail` to the shard's log only. What was pushed, and what comes behind it, is `source`'s.
result<void> build_shard(gate_store& store,
                         const gate_job& job,
                         shard_id id,
                         push_source& source,
                         std::span<const std::uint64_t> keys,
                         std::span<const std::vector<std::uint64_t>> tail);

}  // namespace headrace::bench
