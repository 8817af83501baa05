#include "tests/simulation/profile.hpp"

#include <algorithm>
#include <initializer_list>

namespace headrace::simulation {
namespace {

template <class Value>
Value one_of(dice& chance, std::initializer_list<Value> values) {
  return values.begin()[chance.between(0, values.size() - 1)];
}

// Between two rows of a table in DRAM and half of those that a shard has; or all of them.
std::uint64_t draw_memory(dice& chance, const profile& p) {
  if (chance.chance(0.4)) return 0;
  return chance.between(2, std::max(2U, p.keys / p.shards / 2));
}

void draw_rows(dice& chance, profile& p) {
  for (std::uint64_t& rows : p.memory_rows) rows = draw_memory(chance, p);
  p.rows_per_slice = one_of<std::size_t>(chance, {1, 3, 4'096});
  p.rows_per_batch = one_of<std::size_t>(chance, {1, 5, 65'536});
  p.rows_per_piece = one_of<std::size_t>(chance, {1, 4, 16'384});
  p.tail_rows_max = one_of<std::uint64_t>(chance, {2, 20, 60, 2'000'000, 2'000'000});
  p.tail_bytes_max = one_of<std::uint64_t>(chance, {1'000, 5'000, 1U << 27, 1U << 27});
  p.truncate = chance.chance(0.6);
  p.work_us_max = one_of<std::uint64_t>(chance, {1, 1'000, 30'000});
  p.told_us_max = one_of<std::uint64_t>(chance, {1, 100, 10'000});
  p.flush_us_max = one_of<std::uint64_t>(chance, {20'000, 500'000});
  p.flush_at_once = one_of(chance, {0.0, 0.2, 1.0});
  p.flush_fault = one_of(chance, {0.0, 0.1, 0.5});
  p.read_fault = one_of(chance, {0.0, 0.0, 0.01});
  p.checkpoint = one_of(chance, {0.0, 0.01, 0.05});
  p.checkpoint_us_max = one_of<std::uint64_t>(chance, {10'000, 300'000});
}

void draw_judgement(dice& chance, profile& p) {
  p.admit_count = one_of<std::uint32_t>(chance, {1, 1, 1, 1, 1, 1, 1, 3});  // its sketch takes time
  p.admit_window_ms = one_of<std::uint64_t>(chance, {0, 100, 1'000});
  p.admit_probability = one_of(chance, {1.0F, 0.7F});
  p.ttl_ms = one_of<std::uint64_t>(chance, {0, 30, 300});
  p.min_rows = p.ttl_ms == 0 ? 0 : one_of<std::uint64_t>(chance, {0, 2});
}

}  // namespace

profile draw_profile(dice& chance) {
  profile p;
  p.shards = static_cast<std::uint32_t>(chance.between(2, 4));
  p.sources = static_cast<std::uint32_t>(chance.between(1, 3));
  p.batches = static_cast<std::uint32_t>(chance.between(4, 40));
  p.keys = one_of<std::uint32_t>(chance, {4, 16, 64});
  p.keys_per_shard_batch = one_of(chance, {0.1, 0.5, 0.9, 1.0});
  p.poison = one_of(chance, {0.0, 0.0, 0.05});

  p.in_flight_max = static_cast<std::uint32_t>(chance.between(1, 4));
  p.staleness_bound = one_of<std::uint64_t>(chance, {UINT64_MAX, UINT64_MAX, 0, 1, 3});
  p.advance_after_max = one_of<std::uint32_t>(chance, {1, 4, 64});
  p.timeout_ms = one_of<std::uint64_t>(chance, {20, 100, 500});
  p.tick_ms = one_of<std::uint64_t>(chance, {10, 50, 100});
  p.seal_us_max = one_of<std::uint64_t>(chance, {0, 10'000, 200'000});
  p.learn_us_max = one_of<std::uint64_t>(chance, {10, 1'000, 50'000});

  p.net_us_max = one_of<std::uint64_t>(chance, {10, 1'000, 100'000});
  p.net_in_order = chance.chance(0.5);
  p.net_loss = one_of(chance, {0.0, 0.02, 0.2});
  p.net_repeat = one_of(chance, {0.0, 0.02, 0.2});

  p.log_delays = chance.chance(0.75);
  p.commit_us_max = one_of<std::uint64_t>(chance, {10, 2'000, 50'000});
  p.settle_us_max = one_of<std::uint64_t>(chance, {1, 100, 20'000});
  p.refuse = one_of(chance, {0.0, 0.01, 0.1});
  p.unknown = one_of(chance, {0.0, 0.01, 0.05});

  p.server_crash = one_of(chance, {0.0, 0.001, 0.006});
  p.shard_crash = one_of(chance, {0.0, 0.002});
  p.down_us_max = one_of<std::uint64_t>(chance, {1'000, 300'000});
  draw_rows(chance, p);
  draw_judgement(chance, p);

  p.worker_fault_us_max = one_of<std::uint64_t>(chance, {100'000, 1'000'000, 10'000'000});
  p.zombie = one_of(chance, {0.0, 0.5, 1.0});
  p.read_us_max = one_of<std::uint64_t>(chance, {10'000, 100'000});
  p.disk_full_us_max = one_of<std::uint64_t>(chance, {0, 0, 500'000});
  p.faults_us = chance.between(200'000, 3'000'000);
  return p;
}

}  // namespace headrace::simulation
