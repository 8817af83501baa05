#pragma once

#include "base/random.hpp"

#include <cstddef>
#include <cstdint>

namespace headrace::simulation {

/// The one source of chance in a run: every draw comes from here, in the order of events.
class dice {
 public:
  explicit dice(std::uint64_t seed) : stream_(mix64(seed) ^ 0x51A7E5EEDULL) {}

  bool chance(double probability) { return stream_.next_unit() < probability; }
  /// Uniform in [low, high].
  std::uint64_t between(std::uint64_t low, std::uint64_t high) {
    return low + stream_.next_below(high - low + 1);
  }

 private:
  random_stream stream_;
};

/// What one seed decides before the first event: sizes, timings, how often each fault strikes.
/// Timings differ by orders of magnitude between seeds: under one fixed profile some faults never
/// meet.
struct profile {
  std::uint32_t shards = 2;
  std::uint32_t sources = 1;
  std::uint32_t batches = 16;  // of every source
  std::uint32_t keys = 32;
  double keys_per_shard_batch = 0.5;  // chance that a batch has keys for a shard
  double poison = 0.0;                // chance that such a section holds a value that is not finite

  std::uint32_t in_flight_max = 1;
  std::uint64_t staleness_bound = UINT64_MAX;
  std::uint32_t advance_after_max = 64;  // each worker draws its own
  std::uint64_t timeout_ms = 200;
  std::uint64_t tick_ms = 50;
  std::uint64_t seal_us_max = 10'000;  // between two sealed batches
  std::uint64_t learn_us_max = 1'000;

  std::uint64_t net_us_max = 1'000;
  bool net_in_order = false;
  double net_loss = 0.0;
  double net_repeat = 0.0;

  bool log_delays = true;  // outcomes come later, as in mode fsync; else inside append
  std::uint64_t commit_us_max = 1'000;
  std::uint64_t settle_us_max = 100;
  double refuse = 0.0;  // chance for each append
  double unknown = 0.0;

  double server_crash = 0.0;  // chance at each crash point
  double shard_crash = 0.0;   // the actor dies, the process does not
  std::uint64_t down_us_max = 200'000;

  // What the third table decides.
  std::uint32_t admit_count = 1;
  std::uint64_t admit_window_ms = 0;
  float admit_probability = 1.0F;
  std::uint64_t ttl_ms = 0;
  std::uint64_t min_rows = 0;  // above 0 rows expire by records

  // Rows and the disk behind them.
  std::uint64_t memory_rows[3] = {0, 0, 0};  // of each table on each shard; 0 = no budget
  std::size_t rows_per_slice = 4'096;
  std::size_t rows_per_batch = 65'536;
  std::size_t rows_per_piece = 16'384;
  std::uint64_t tail_rows_max = 2'000'000;
  std::uint64_t tail_bytes_max = 1U << 27;
  bool truncate = false;
  std::uint64_t work_us_max = 1'000;  // until a work runs
  std::uint64_t told_us_max = 100;    // until the shard hears of it
  std::uint64_t flush_us_max = 500'000;
  double flush_at_once = 0.0;  // instead of beside other work
  double flush_fault = 0.0;    // the store fails in the middle of what it writes next
  double read_fault = 0.0;     // the store fails to read, once, drawn with each reader
  double checkpoint = 0.0;     // chance with each write-back
  std::uint64_t checkpoint_us_max = 100'000;

  std::uint64_t worker_fault_us_max = 1'000'000;  // between two workers that die or are replaced
  double zombie = 0.5;                            // the replaced one goes on
  std::uint64_t read_us_max = 50'000;
  std::uint64_t disk_full_us_max = 0;  // length of the one stretch in which every append is refused
  std::uint64_t faults_us = 3'000'000;  // then everything heals
};

profile draw_profile(dice& chance);

}  // namespace headrace::simulation
