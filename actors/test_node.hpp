#pragma once

#include "actors/shard_actor.hpp"
#include "base/clock.hpp"
#include "ps/shard/durable_shard.hpp"
#include "schemas/hash.hpp"
#include "schemas/schema.hpp"
#include "storage/memory_log.hpp"
#include "storage/memory_row_store.hpp"

#include <array>
#include <cstdint>
#include <memory>
#include <utility>

/// What tests of actors serve: one table of counts on two shards.
namespace headrace::actors {

inline constexpr std::uint32_t shards = 2;

inline schemas::job_schema counting_schema() {
  schemas::job_schema schema;
  schema.shards = shards;
  schemas::table_spec counts;
  counts.id = table_id{0};
  counts.name = "embedding";
  counts.dim = 1;
  counts.optimizer.kind = schemas::optimizer_kind::add;
  schema.tables.push_back(counts);
  return schema;
}

/// Shards over memory logs that outlive the actors: what a disk is to a process.
struct memory_node {
  std::array<std::shared_ptr<storage::memory_log::contents>, shards> disks;
  std::array<storage::memory_log*, shards> logs{};  // of the incarnation that runs
  storage::memory_row_store rows;
  manual_clock time;
  std::array<int, shards> opened{};
  bool corrupt = false;

  memory_node() {
    for (auto& disk : disks) disk = std::make_shared<storage::memory_log::contents>();
  }
  open_shard opener(shard_id id) {
    return [this, id](
               ps::durable_shard::delivery deliver,
               std::unique_ptr<ps::background> io) -> result<std::unique_ptr<ps::durable_shard>> {
      ++opened[id.value];
      if (corrupt) return error{errc::corrupt, "segment 3 is damaged"};
      auto log = std::make_unique<storage::memory_log>(disks[id.value]);
      logs[id.value] = log.get();
      ps::durable_shard::parts parts;
      parts.state = std::make_unique<ps::shard>(
          id, counting_schema(), ps::shard_limits{}, headrace::epoch{1});
      parts.log = std::move(log);
      parts.rows = &rows;
      parts.time = &time;
      parts.io = std::move(io);
      parts.deliver = std::move(deliver);
      return ps::durable_shard::open(std::move(parts));
    };
  }
};

/// The first key from `from` on that lives on the shard.
inline std::uint64_t key_on(shard_id shard, std::uint64_t from = 0) {
  while (schemas::shard_of(row_key{from}, shards) != shard) ++from;
  return from;
}

}  // namespace headrace::actors
