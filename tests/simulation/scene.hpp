#pragma once

#include "tests/simulation/event_queue.hpp"
#include "tests/simulation/profile.hpp"
#include "tests/simulation/sealed_batches.hpp"
#include "tests/simulation/world.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace headrace::simulation {

/// What every part of one run shares.
struct scene {
  explicit scene(std::uint64_t seed)
      : chance(seed),
        p(draw_profile(chance)),
        sealed(p, chance),
        schema(simulated_schema(p)),
        sealed_through(p.sources) {}

  dice chance;
  profile p;
  sealed_batches sealed;
  schemas::job_schema schema;
  event_queue events;
  outcome result;
  bool healed = false;
  bool learned = false;                       // everything got through: nobody asks for more
  std::vector<std::uint64_t> sealed_through;  // [source] batches in the sample log so far

  /// A fault happens here, now. Never after everything healed.
  bool strikes(double probability) {
    if (healed || probability <= 0.0 || !chance.chance(probability)) return false;
    ++result.faults;
    return true;
  }
  /// The first failure counts.
  void fail(std::optional<std::string> why) {
    if (why && !result.failure) result.failure = std::move(why);
  }

  /// Carries a message over `link`: late, and lost, repeated or overtaken as the profile says.
  void send(std::uint64_t link, const event_queue::action& arrive) {
    if (strikes(p.net_loss)) return;
    const int copies = strikes(p.net_repeat) ? 2 : 1;
    for (int i = 0; i < copies; ++i) {
      std::uint64_t at = events.now_us() + chance.between(1, p.net_us_max);
      if (p.net_in_order) at = last_arrival_[link] = std::max(at, last_arrival_[link]);
      events.at(at, arrive);
    }
  }

 private:
  std::map<std::uint64_t, std::uint64_t> last_arrival_;
};

}  // namespace headrace::simulation
