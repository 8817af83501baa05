#include "bench/rows64/kill.hpp"

#include <chrono>
#include <string>

namespace headrace::bench {
namespace {

/// Answers that are waited for before the kill: enough that the server is in the middle of its
/// work.
constexpr std::size_t answers_before = 64;

error describe_damage(const survival& found) {
  return {errc::corrupt,
          "a killed server came back with " + std::to_string(found.lost) + " of " +
              std::to_string(found.acknowledged) + " acknowledged pushes lost and " +
              std::to_string(found.applied_twice) + " applied twice"};
}

}  // namespace

result<survival> kill_in_flight(product_peer& client,
                                std::span<const row_batch> pool,
                                const rows64_options& options,
                                ledger& done,
                                const std::function<result<std::string>()>& restart) {
  std::size_t in_flight = 0;
  for (std::size_t sent = 0; sent < answers_before + options.depth; ++sent) {
    if (in_flight == options.depth) {
      if (auto answered = client.wait(); !answered) return answered.error();
      --in_flight;
    }
    const std::size_t at = sent % pool.size();
    client.send_push(pool[at], options.codec);
    done.pushed(at);
    ++in_flight;
  }
  const auto killed = std::chrono::steady_clock::now();
  const auto endpoint = restart();
  if (!endpoint) return endpoint.error();
  const auto found = client.reconnect(*endpoint);
  if (!found) return found.error();
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - killed;
  survival made{found->acknowledged, found->in_flight, found->lost, 0, took.count()};
  if (made.lost > 0) return describe_damage(made);  // what comes behind a hole is refused
  for (std::uint64_t left = found->in_flight; left > 0; --left) {
    if (auto answered = client.wait(); !answered) return answered.error();
  }
  made.applied_twice = client.applied_twice();
  if (made.applied_twice > 0) return describe_damage(made);
  return made;
}

}  // namespace headrace::bench
