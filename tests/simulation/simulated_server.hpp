#pragma once

#include "storage/memory_log.hpp"
#include "tests/simulation/faulty_row_store.hpp"
#include "tests/simulation/oracle.hpp"
#include "tests/simulation/scene.hpp"
#include "tests/simulation/shard_under_test.hpp"

#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace headrace::simulation {

/// The server process: every shard with its log and rows, the faults that strike it, and an oracle
/// at every answer that leaves. What is on disk outlives a crash; everything else does not.
class simulated_server {
 public:
  simulated_server(scene& stage, variant kind);

  void start();
  // Messages arrive; what finds no shard is lost. `reply` sends the answer back.
  void push(shard_id shard,
            std::uint32_t source,
            const frame& section,
            std::function<void(frame)> reply);
  void watermark(shard_id shard,
                 std::uint32_t source,
                 const std::function<void(batch_number)>& reply);

  /// Shards are open and nothing is on its way to a log.
  bool quiet() const;
  /// Every batch of every source must be in logs and tables, also after one more restart.
  void check_end();
  const oracle& judge(std::uint32_t shard) const { return shards_[shard].judge; }
  std::uint64_t voids() const;

 private:
  struct shard_slot {
    explicit shard_slot(oracle judge_of) : judge(std::move(judge_of)) {}
    oracle judge;
    std::shared_ptr<storage::memory_log::contents> disk;
    side_watermarks side;
    std::unique_ptr<shard_under_test> live;
    storage::memory_log* log = nullptr;  // of `live`
    std::uint64_t incarnation = 0;
    std::uint64_t settle_us = 0;  // when the last outcome reaches the owner
    bool committing = false;      // an event is on its way
  };

  bool crash_point(std::uint32_t shard);
  void crash();
  void drop(shard_slot& one);
  void reopen(std::uint32_t shard, std::uint64_t after_us);
  void open(std::uint32_t shard);
  void answer(std::uint32_t shard, std::uint32_t source, const frame& reply);
  void after_push(std::uint32_t shard);
  void choose_fate(shard_slot& one);
  void commit_later(std::uint32_t shard);
  void commit(std::uint32_t shard);
  void settle_later(std::uint32_t shard, lsn at, storage::append_outcome outcome);
  void settle(std::uint32_t shard, lsn at, const storage::append_outcome& outcome);
  void flush_sometimes(std::uint32_t shard);
  void flush(std::uint32_t shard);
  void read_sometimes();
  void read();
  bool disk_is_full() const;

  scene& stage_;
  variant kind_;
  faulty_row_store rows_;
  std::vector<shard_slot> shards_;
  std::uint64_t full_from_us_ = 0;
  std::uint64_t full_to_us_ = 0;
};

}  // namespace headrace::simulation
