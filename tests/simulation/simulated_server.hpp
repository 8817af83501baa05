#pragma once

#include "storage/memory_log.hpp"
#include "tests/simulation/checkpoint.hpp"
#include "tests/simulation/event_background.hpp"
#include "tests/simulation/faulty_row_store.hpp"
#include "tests/simulation/oracle.hpp"
#include "tests/simulation/scene.hpp"
#include "tests/simulation/shard_under_test.hpp"
#include "tests/simulation/wrong_row_store.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace headrace::simulation {

/// The server process: every shard with its log and rows, the faults that strike it, and an oracle
/// at every answer that leaves. What is on disk outlives a crash; everything else does not.
class simulated_server {
 public:
  simulated_server(scene& stage, variant kind);

  void start();
  /// Faults end now.
  void heal() { rows_.heal(); }
  // Messages arrive; what finds no shard is lost. `reply` sends the answer back.
  void push(shard_id shard,
            std::uint32_t source,
            const frame& section,
            std::function<void(frame)> reply);
  void watermark(shard_id shard,
                 std::uint32_t source,
                 const std::function<void(batch_number)>& reply);

  /// What is not done yet, of one shard; none when shards are open, have answered everything, and
  /// nothing is on its way to a log or from the rows.
  std::optional<std::string> busy_with() const;
  /// Every batch of every source must be in logs and tables, also after one more restart.
  void check_end();
  const oracle& judge(std::uint32_t shard) const { return shards_[shard].judge; }
  std::uint64_t voids() const;

 private:
  struct shard_slot {
    explicit shard_slot(oracle judge_of) : judge(std::move(judge_of)) {}
    oracle judge;
    std::shared_ptr<storage::memory_log::contents> disk;
    lsn first{1};  // of `disk`, when last looked at
    side_watermarks side;
    std::vector<std::uint64_t> keys;  // every key of this shard
    std::unique_ptr<shard_under_test> live;
    storage::memory_log* log = nullptr;  // of `live`, as the next
    event_background* io = nullptr;
    std::unique_ptr<checkpoint> copying;
    std::uint64_t incarnation = 0;
    std::uint64_t unanswered = 0;  // pushes and pulls of this incarnation
    std::uint64_t settle_us = 0;   // when the last outcome reaches the owner
    bool committing = false;       // an event is on its way
  };

  // Life and death.
  bool crash_point(std::uint32_t shard);
  void crash();
  void drop(shard_slot& one, bool killed);
  void reopen(std::uint32_t shard, std::uint64_t after_us);
  void open(std::uint32_t shard);
  shard_under_test::parts parts_of(std::uint32_t shard);
  std::unique_ptr<ps::background> make_background(std::uint32_t shard);
  ps::durability_options durability() const;
  void look_after(std::uint32_t shard);
  void note_dropped(shard_slot& one);
  // Pushes and the log.
  void answer(std::uint32_t shard, std::uint32_t source, const frame& reply);
  void choose_fate(shard_slot& one);
  void commit_later(std::uint32_t shard);
  void commit(std::uint32_t shard);
  void settle_later(std::uint32_t shard, lsn at, storage::append_outcome outcome);
  void settle(std::uint32_t shard, lsn at, const storage::append_outcome& outcome);
  bool disk_is_full() const;
  // Rows.
  storage::row_store& rows();
  void write_back_sometimes(std::uint32_t shard);
  void write_back(std::uint32_t shard);
  void written_back(std::uint32_t shard, const result<lsn>& through);
  void begin_checkpoint(std::uint32_t shard);
  void end_checkpoint(std::uint32_t shard);
  void read_sometimes();
  void read(std::uint32_t shard);
  // The end.
  void check_tables(std::uint32_t shard);

  scene& stage_;
  variant kind_;
  faulty_row_store rows_;
  wrong_row_store wrong_rows_;
  std::vector<shard_slot> shards_;
  std::shared_ptr<bool> process_ = std::make_shared<bool>(true);  // lives; a new one after a crash
  std::uint64_t full_from_us_ = 0;
  std::uint64_t full_to_us_ = 0;
};

}  // namespace headrace::simulation
