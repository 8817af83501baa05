#include "tests/simulation/profile.hpp"

#include <initializer_list>

namespace headrace::simulation {
namespace {

template <class Value>
Value one_of(dice& chance, std::initializer_list<Value> values) {
  return values.begin()[chance.between(0, values.size() - 1)];
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

  p.server_crash = one_of(chance, {0.0, 0.005, 0.03});
  p.shard_crash = one_of(chance, {0.0, 0.005});
  p.down_us_max = one_of<std::uint64_t>(chance, {1'000, 300'000});
  p.flush_us_max = one_of<std::uint64_t>(chance, {20'000, 500'000});
  p.flush_fault = one_of(chance, {0.0, 0.1, 0.5});

  p.worker_fault_us_max = one_of<std::uint64_t>(chance, {100'000, 1'000'000, 10'000'000});
  p.zombie = one_of(chance, {0.0, 0.5, 1.0});
  p.read_us_max = one_of<std::uint64_t>(chance, {10'000, 100'000});
  p.disk_full_us_max = one_of<std::uint64_t>(chance, {0, 0, 500'000});
  p.faults_us = chance.between(200'000, 3'000'000);
  return p;
}

}  // namespace headrace::simulation
